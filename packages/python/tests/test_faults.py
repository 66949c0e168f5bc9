"""Faults, and scenarios that change the VM on a timeline."""

from __future__ import annotations

import json

import pytest
from conftest import ask

from gce_metadata_server import AdminError, MetadataServer, fault

TOKEN = "instance/service-accounts/*/token"
ADDRESS = "instance/service-accounts/default/token"


def statuses(vm: MetadataServer, count: int) -> list[int]:
    return [ask(vm, ADDRESS)[0] for _ in range(count)]


def test_instructions_are_consumed_one_by_one(vm: MetadataServer) -> None:
    added = vm.faults.add(TOKEN, "return-503", "return-429")
    assert statuses(vm, 3) == [503, 429, 200]
    assert added.injected == 2
    assert [each.id for each in vm.faults.list()] == [added.id]


def test_a_status_is_given_some_times(vm: MetadataServer) -> None:
    vm.faults.add(TOKEN, status=503, times=2, body="try later", headers={"Retry-After": "1"})
    assert ask(vm, ADDRESS) == (503, "try later")
    assert statuses(vm, 2) == [503, 200]


def test_a_delay_keeps_the_usual_answer(vm: MetadataServer) -> None:
    vm.faults.add("instance/id", delay=0.05)
    assert ask(vm, "instance/id")[0] == 200
    assert vm.requests("instance/id")[0].entry["timing"]["totalTime"] >= 50


def test_a_fault_is_removed_at_the_end_of_its_block_and_by_a_reset(vm: MetadataServer) -> None:
    with vm.faults.add(TOKEN, status=500):
        assert statuses(vm, 1) == [500]
    assert statuses(vm, 1) == [200]
    vm.faults.add(fault(TOKEN, status=500))
    vm.reset()
    assert statuses(vm, 1) == [200]
    vm.faults.add(fault(TOKEN, status=500))
    vm.faults.clear()
    assert vm.faults.list() == []


def test_a_wrong_fault_is_refused(vm: MetadataServer) -> None:
    with pytest.raises(ValueError, match="either instructions, or a status"):
        vm.faults.add(TOKEN, "return-503", status=500)
    with pytest.raises(TypeError, match="no further arguments"):
        vm.faults.add(fault(TOKEN), status=500)
    with pytest.raises(AdminError, match=r"expected return-STATUS, .*, at /instructions/0 \(status 422\)"):
        vm.faults.add(TOKEN, "return-nonsense")


def test_a_scenario_is_stepped_and_advanced_and_puts_back_its_values(vm: MetadataServer) -> None:
    with vm.scenario("preemption", progression="manual", notice=120) as run:
        assert ask(vm, "instance/preempted") == (200, "TRUE")
        states = [run.state]
        run.step()
        states.append(run.state)
        run.advance("30s")
        assert [*states, run.state] == ["Preempted", "SoftOff", "Off"]
    assert ask(vm, "instance/preempted") == (200, "FALSE")


def test_a_scenario_that_does_not_exist_is_refused(vm: MetadataServer) -> None:
    with pytest.raises(AdminError) as refused:
        vm.scenario("no-such-scenario")
    assert refused.value.status == 404


def test_a_fault_has_the_members_of_its_document() -> None:
    assert json.loads(json.dumps(fault("instance/id", status=503, times=2, probability=0.5, method="get"))) == {
        "request": {"urlPath": "/computeMetadata/v1/instance/id", "method": "GET"},
        "response": {"status": 503},
        "failRequestCount": 2,
        "probability": 0.5,
    }
