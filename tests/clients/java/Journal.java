import static com.github.tomakehurst.wiremock.client.WireMock.equalTo;
import static com.github.tomakehurst.wiremock.client.WireMock.getRequestedFor;
import static com.github.tomakehurst.wiremock.client.WireMock.moreThanOrExactly;
import static com.github.tomakehurst.wiremock.client.WireMock.urlPathEqualTo;

import com.github.tomakehurst.wiremock.client.HttpAdminClient;
import com.github.tomakehurst.wiremock.client.VerificationException;
import com.github.tomakehurst.wiremock.client.WireMock;
import com.github.tomakehurst.wiremock.matching.RequestPatternBuilder;
import com.github.tomakehurst.wiremock.stubbing.ServeEvent;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;

/** Reads the journal with WireMock's client: list, count, find, verify, unmatched, near misses, remove, reset. */
public class Journal {
  static final String ID = "/computeMetadata/v1/instance/id";

  public static void main(String[] arguments) throws Exception {
    URI admin = URI.create(System.getenv("GCE_METADATA_ADMIN"));
    WireMock wireMock = WireMock.create().host(admin.getHost()).port(admin.getPort()).build();
    for (String path : List.of(ID, ID, "/computeMetadata/v1/none")) ask(path);

    RequestPatternBuilder ids = getRequestedFor(urlPathEqualTo(ID)).withHeader("Metadata-Flavor", equalTo("Google"));
    RequestPatternBuilder zones = getRequestedFor(urlPathEqualTo("/computeMetadata/v1/instance/zone"));
    wireMock.verifyThat(2, ids);
    wireMock.verifyThat(moreThanOrExactly(1), ids);
    try {
      wireMock.verifyThat(1, zones);
      throw new AssertionError("an expectation that does not hold was accepted");
    } catch (VerificationException unmet) {
      check(unmet.getMessage().contains(ID), unmet);
    }
    check(wireMock.find(ids).stream().allMatch(found -> found.getUrl().equals(ID)), wireMock.find(ids));
    List<ServeEvent> events = wireMock.getServeEvents();
    check(events.size() == 3 && events.get(0).getResponse().getStatus() == 404, events);
    HttpAdminClient client = new HttpAdminClient(admin.getHost(), admin.getPort());
    ServeEvent one = client.getServedStub(events.get(0).getId()).getItem();
    check(one.getRequest().getUrl().endsWith("/none"), one.getRequest());
    check(wireMock.findAllUnmatchedRequests().size() == 1, wireMock.findAllUnmatchedRequests());
    check(!wireMock.findNearMissesForAllUnmatchedRequests().isEmpty(), "near misses");
    check(!wireMock.findAllNearMissesFor(zones).isEmpty(), "near misses");

    client.removeServeEvent(one.getId());
    check(wireMock.removeEvents(ids).size() == 2, "removed");
    check(wireMock.getServeEvents().isEmpty(), "removed");
    ask(ID);
    wireMock.resetRequests();
    check(wireMock.getServeEvents().isEmpty(), "reset");
    wireMock.resetScenarios();
  }

  static void ask(String path) throws Exception {
    URI url = URI.create("http://" + System.getenv("GCE_METADATA_HOST") + path);
    HttpRequest request = HttpRequest.newBuilder(url).header("Metadata-Flavor", "Google").build();
    HttpClient.newHttpClient().send(request, BodyHandlers.discarding());
  }

  static void check(boolean holds, Object found) {
    if (!holds) throw new AssertionError(found);
  }
}
