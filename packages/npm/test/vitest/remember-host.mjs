// A second global setup, which runs after that of the package.

export default function setup() {
  process.env.HOST_OF_THE_GLOBAL_SETUP = process.env.GCE_METADATA_HOST;
}
