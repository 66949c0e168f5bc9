import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.IdTokenCredentials;
import com.google.auth.oauth2.IdTokenProvider;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;

/** What the program asked of the metadata server. Run by: gce-metadata-server exec -- java -cp 'lib/*' Requests.java */
public class Requests {
  static final String TOKEN = "instance/service-accounts/*/token";
  static final String IDENTITY = "instance/service-accounts/*/identity";
  static final String SCOPE = "https://www.googleapis.com/auth/devstorage.read_only";
  static final String AUDIENCE = "https://service.example.com";
  static final HttpClient HTTP = HttpClient.newHttpClient();

  /** The program under test. */
  static void program() throws Exception {
    GoogleCredentials found = GoogleCredentials.getApplicationDefault();
    GoogleCredentials storage = found.createScoped(SCOPE);
    for (int count = 0; count < 3; count++) {
      storage.refreshIfExpired();
    }
    IdTokenCredentials.Builder builder = IdTokenCredentials.newBuilder();
    builder.setIdTokenProvider((IdTokenProvider) found).setTargetAudience(AUDIENCE).build().refresh();
  }

  /** Sends a request pattern or an expectation to the admin API. */
  static HttpResponse<String> post(String path, String body) throws Exception {
    URI url = URI.create(System.getenv("GCE_METADATA_ADMIN") + "/__admin/requests/" + path);
    HttpRequest.Builder request = HttpRequest.newBuilder(url).header("Content-Type", "application/json");
    return HTTP.send(request.POST(BodyPublishers.ofString(body)).build(), BodyHandlers.ofString());
  }

  /** Asserts how often the server received such a request. */
  static void verify(String request, String times) throws Exception {
    String expectation = "{\"request\": %s, \"times\": %s}".formatted(request, times);
    HttpResponse<String> answer = post("verify", expectation);
    if (answer.statusCode() != 202) {
      throw new AssertionError(answer.body());
    }
  }

  static final String ONCE = "{\"atLeast\": 1}";
  static final String NEVER = "{\"atMost\": 0}";

  static void theAccessTokenHasOneScope() throws Exception {
    String pattern = "{\"path\": \"%s\", \"queryParameters\": {\"scopes\": {\"%s\": \"%s\"}}}";
    verify(pattern.formatted(TOKEN, "equalTo", SCOPE), ONCE);
    verify(pattern.formatted(TOKEN, "doesNotMatch", SCOPE), NEVER);
  }

  static void theIdentityTokenIsForTheService() throws Exception {
    String pattern = "{\"path\": \"%s\", \"queryParameters\": {\"audience\": {\"equalTo\": \"%s\"}}}";
    verify(pattern.formatted(IDENTITY, AUDIENCE), ONCE);
  }

  static void everyRequestHasTheHeader() throws Exception {
    verify("{\"headers\": {\"Metadata-Flavor\": {\"equalTo\": \"Google\"}}}", ONCE);
    verify("{\"headers\": {\"Metadata-Flavor\": {\"absent\": true}}}", NEVER);
  }

  static void aTokenIsRequestedAtMostOnceAMinute() throws Exception {
    String found = post("find", "{\"path\": \"%s\"}".formatted(TOKEN)).body();
    JsonObject answer = JsonParser.parseString(found).getAsJsonObject();
    List<Long> dates =
        answer.getAsJsonArray("requests").asList().stream()
            .map(request -> request.getAsJsonObject().get("loggedDate").getAsLong())
            .toList();
    if (dates.isEmpty()) {
      throw new AssertionError("no token was requested");
    }
    for (int index = 1; index < dates.size(); index++) {
      if (dates.get(index) - dates.get(index - 1) < 60_000) {
        throw new AssertionError(dates.toString());
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    post("reset", "");
    program();
    theAccessTokenHasOneScope();
    theIdentityTokenIsForTheService();
    everyRequestHasTheHeader();
    aTokenIsRequestedAtMostOnceAMinute();
  }
}
