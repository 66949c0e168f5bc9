import com.google.auth.oauth2.GoogleCredentials;

/** A client of scripts/retry-matrix: gets an access token with google-auth-library-java. */
public class Retry {
  static void getTokens(int times) throws Exception {
    GoogleCredentials found = GoogleCredentials.getApplicationDefault();
    found = found.createScoped("https://www.googleapis.com/auth/cloud-platform");
    for (int i = 0; i < times; i++) {
      found.getRequestMetadata();
    }
  }

  public static void main(String[] arguments) {
    int times = Integer.parseInt(System.getenv("TOKENS"));
    System.out.println("started");
    String outcome = "ok";
    try {
      getTokens(times);
    } catch (Exception error) {
      error.printStackTrace();
      outcome = "error " + error.getClass().getSimpleName();
    }
    System.out.println(outcome);
    // Threads of the library may still run.
    System.exit(0);
  }
}
