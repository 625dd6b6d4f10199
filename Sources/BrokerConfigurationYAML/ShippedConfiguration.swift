/// The files under config/ as this program was built with them.
package enum ShippedConfiguration {
    /// Paths are relative to the folder of `daypass.yaml`.
    package static let files: [(path: String, contents: [UInt8])] = [
        ("daypass.yaml", PackageResources.daypass_yaml),
        ("issuers/buildkite.yaml", PackageResources.buildkite_yaml),
        ("issuers/circleci.yaml", PackageResources.circleci_yaml),
        ("issuers/github.yaml", PackageResources.github_yaml),
        ("issuers/gitlab.yaml", PackageResources.gitlab_yaml),
        ("issuers/google.yaml", PackageResources.google_yaml),
        ("issuers/kubernetes.yaml", PackageResources.kubernetes_yaml),
        ("issuers/okta.yaml", PackageResources.okta_yaml),
        ("rules/ci.yaml", PackageResources.ci_yaml),
        ("rules/workloads.yaml", PackageResources.workloads_yaml),
    ]
}
