import os
import subprocess
import sys

import requests


def test_the_work_is_saved_when_the_machine_is_preempted():
    scenarios = os.environ["GCE_METADATA_ADMIN"] + "/__admin/scenarios"
    worker = subprocess.Popen([sys.executable, "worker.py"], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "working\n"
    requests.post(scenarios + "/preemption/run", json={"parameters": {"notice": 120}}).raise_for_status()
    assert worker.communicate(timeout=30)[0] == "saved\n"
    requests.post(scenarios + "/reset").raise_for_status()
