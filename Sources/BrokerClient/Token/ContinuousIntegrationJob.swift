/// The CI job that this process is a part of. A runner has one after the other, often as the same user.
enum ContinuousIntegrationJob: Sendable, Hashable {
    case none
    /// What no other job has.
    case known(String)
    /// There is nothing to tell it by.
    case unknown

    /// What the jobs of other systems have set.
    private static let others = [
        "CI", "JENKINS_URL", "BUILD_ID", "TF_BUILD", "TEAMCITY_VERSION", "BITBUCKET_BUILD_NUMBER", "CODEBUILD_BUILD_ID",
    ]

    init(in environment: [String: String]) {
        func isSet(_ name: String) -> Bool { environment[name].map { !$0.isEmpty && $0 != "false" } ?? false }
        func first(_ names: String...) -> String? {
            names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        var id: String?
        if isSet("GITHUB_ACTIONS") {
            // The number of a run is that of all its jobs; this is of one.
            id = first("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "RUNNER_TRACKING_ID").map {
                Fingerprint.hexadecimal(of: $0.utf8)
            }
        } else if isSet("GITLAB_CI") {
            id = first("CI_JOB_ID")
        } else if isSet("BUILDKITE") {
            id = first("BUILDKITE_JOB_ID")
        } else if isSet("CIRCLECI") {
            id = first("CIRCLE_WORKFLOW_JOB_ID", "CIRCLE_OIDC_TOKEN_V2").map { Fingerprint.hexadecimal(of: $0.utf8) }
        } else if !Self.others.contains(where: isSet) {
            self = .none
            return
        }
        self = id.map { .known($0) } ?? .unknown
    }
}
