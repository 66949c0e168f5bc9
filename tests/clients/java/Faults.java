import static com.github.tomakehurst.wiremock.client.WireMock.*;

import com.github.tomakehurst.wiremock.client.WireMock;
import com.github.tomakehurst.wiremock.common.ClientError;
import com.github.tomakehurst.wiremock.common.Json;
import com.github.tomakehurst.wiremock.http.Fault;
import com.github.tomakehurst.wiremock.stubbing.StubMapping;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Makes, lists, changes, counts and removes faults with WireMock's client. */
public class Faults {
  static final String ID = "/computeMetadata/v1/instance/id";
  static final String TOKENS = "/computeMetadata/v1/instance/service-accounts/[^/]+/token";
  static final String TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token";

  static HttpResponse<String> ask(String path) throws Exception {
    URI uri = URI.create("http://" + System.getenv("GCE_METADATA_HOST") + path);
    HttpRequest request = HttpRequest.newBuilder(uri).header("Metadata-Flavor", "Google").build();
    return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
  }

  static void check(boolean holds, Object what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  public static void main(String[] arguments) throws Exception {
    URI admin = URI.create(System.getenv("GCE_METADATA_ADMIN"));
    WireMock mock = WireMock.create().host(admin.getHost()).port(admin.getPort()).build();
    WireMock.configureFor(mock);

    // Make.
    StubMapping added = stubFor(get(urlPathMatching(TOKENS)).withName("busy").atPriority(1)
        .willReturn(serviceUnavailable().withHeader("Retry-After", "1").withBody("try later").withFixedDelay(50)));
    HttpResponse<String> answer = ask(TOKEN);
    check(answer.statusCode() == 503 && answer.body().equals("try later"), answer);
    check(answer.headers().firstValue("Retry-After").orElse("").equals("1"), answer.headers());
    check(ask(ID).statusCode() == 200, ID);

    // List and show.
    check(listAllStubMappings().getMappings().size() == 1, listAllStubMappings());
    check(getSingleStubMapping(added.getId()).getResponse().getStatus() == 503, added);

    // Change.
    editStub(get(urlPathMatching(TOKENS)).withId(added.getId()).willReturn(aResponse().withStatus(429).withJsonBody(
        Json.node("{\"error\":\"busy\"}"))));
    check(ask(TOKEN).body().equals("{\"error\":\"busy\"}"), "the changed fault");

    // Count, and the fault of a request.
    verify(2, getRequestedFor(urlPathEqualTo(TOKEN)));
    check(getAllServeEvents().get(0).getStubMapping().getId().equals(added.getId()), "the fault in the journal");

    // Faults of connections, and delays by a distribution.
    StubMapping reset = stubFor(get(ID).willReturn(aResponse().withFault(Fault.CONNECTION_RESET_BY_PEER)));
    try {
      ask(ID);
      throw new AssertionError("the connection was not reset");
    } catch (IOException expected) {
    }
    removeStub(reset.getId());
    StubMapping slow = stubFor(get(ID).willReturn(ok("slow").withUniformRandomDelay(10, 20).withChunkedDribbleDelay(2, 20)));
    check(ask(ID).body().equals("slow"), "a slow body");
    removeStub(slow);
    check(!ask(ID).body().equals("slow"), "a removed fault");

    // What this server can't do is refused with its name.
    try {
      stubFor(get(ID).willReturn(aResponse().withFault(Fault.RANDOM_DATA_THEN_CLOSE)));
      throw new AssertionError("an unsupported fault was accepted");
    } catch (ClientError refused) {
      check(refused.getErrors().first().getDetail().contains("/response/fault"), refused);
    }

    // Remove.
    check(listAllStubMappings().getMappings().size() == 1, "one fault is left");
    resetAllRequests();
    WireMock.reset();
    check(listAllStubMappings().getMappings().isEmpty() && ask(TOKEN).statusCode() == 200, "after the reset");
  }
}
