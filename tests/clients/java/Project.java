import com.google.cloud.MetadataConfig;

/** Asks for the project at metadata.google.internal: this class reads no environment variable. */
public class Project {
  public static void main(String[] arguments) {
    System.out.println(MetadataConfig.getProjectId());
  }
}
