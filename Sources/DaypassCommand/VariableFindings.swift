import BrokerClient
import FoundationEssentials

/// Variables by which clients send something else than a gateway token, or send it elsewhere.
struct VariableFindings {
    private(set) var findings: [Finding] = []

    /// Seen with Claude Code 2.1.330: each is sent in place of what a helper or federation gives, or beside it.
    private static let stray = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
    /// Wins over federation, and gives way to a helper.
    private static let signedIn = "CLAUDE_CODE_OAUTH_TOKEN"
    private static let federation = [
        "ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_SERVICE_ACCOUNT_ID",
        "ANTHROPIC_IDENTITY_TOKEN_FILE",
    ]

    /// - Parameter issuer: what the broker calls itself.
    init(_ environment: [String: String], _ settings: [ClaudeCodeSettings], issuer: String?) {
        let helper = settings.first { $0.helper != nil }
        for name in Self.stray + (helper == nil ? [Self.signedIn] : []) {
            if let value = environment[name] { check(name, value, "the environment", issuer) }
            for file in settings {
                if let value = file.variables[name] { check(name, value, file.path, issuer) }
            }
        }
        let missing = Self.federation.filter { environment[$0] == nil && !Self.hasValue($0, settings) }
        let federates = missing.count < Self.federation.count
        if federates {
            if let helper {
                findings.append(
                    .warning(
                        "federation", "its variables are set, and Claude Code uses the helper of \(helper.path)",
                        do: "keep the one or the other"))
            }
            for name in missing {
                let about = "\(name) is not set, others of federation are"
                findings.append(
                    name == "ANTHROPIC_SERVICE_ACCOUNT_ID"
                        ? .warning("federation", about, do: "set it where the rule lists one under federation")
                        : .problem("federation", about, do: "set \(name), or unset them all"))
            }
        }
        guard helper != nil || federates else { return }
        if environment["ANTHROPIC_BASE_URL"] == nil, !Self.hasValue("ANTHROPIC_BASE_URL", settings) {
            findings.append(
                .problem(
                    "gateway", "ANTHROPIC_BASE_URL is not set: requests, and the token, go to the provider",
                    do: "set it to your gateway's address, or run daypass setup claude-code"))
        }
    }

    private static func hasValue(_ name: String, _ settings: [ClaudeCodeSettings]) -> Bool {
        settings.contains { $0.variables[name]?.isEmpty == false }
    }

    private mutating func check(_ name: String, _ value: String, _ place: String, _ issuer: String?) {
        guard !value.isEmpty else { return }
        if let claims = UnverifiedClaims(of: value), let issuer, claims.issuer == issuer {
            guard let end = claims.end else { return }
            let words = "\(name) in \(place) is a gateway token, which ends at \(end.formatted(.iso8601))"
            return findings.append(
                end > Date()
                    ? .good("variables", words)
                    : .problem("variables", words, do: "unset \(name), or start anew with daypass exec"))
        }
        findings.append(
            .problem(
                "variables", "\(name) is set in \(place), and is sent in place of the gateway token",
                do: place == "the environment" ? "unset \(name)" : "take \(name) out of \(place)"))
    }
}
