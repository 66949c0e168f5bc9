import com.google.auth.oauth2.GoogleCredentials;

/** Prints an access token of Application Default Credentials. */
public class Auth {
  public static void main(String[] arguments) throws Exception {
    GoogleCredentials found = GoogleCredentials.getApplicationDefault();
    found = found.createScoped("https://www.googleapis.com/auth/cloud-platform");
    System.out.println(found.refreshAccessToken().getTokenValue());
  }
}
