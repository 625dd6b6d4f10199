import BrokerClient
import FoundationEssentials

/// What Claude Code exchanges identity tokens with by itself: variables, or the profile that ANTHROPIC_PROFILE names.
struct Federation {
    let findings: [Finding]
    let rule: String?
    let organization: String?
    let account: String?
    let identity: Identity?
    /// Where the call goes, without a slash at its end.
    let gateway: String?
    /// Whether any of that comes from the folder in which this runs.
    let isProjects: Bool
    private let workspace: String?

    /// - Returns: nil where nothing of it is set.
    init?(_ variables: ClientVariables) {
        let own = [
            "ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_IDENTITY_TOKEN",
            "ANTHROPIC_PROFILE",
        ]
        guard own.contains(where: { variables[$0] != nil }) else { return nil }
        let others = [
            "ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_SERVICE_ACCOUNT_ID", "ANTHROPIC_WORKSPACE_ID", "ANTHROPIC_BASE_URL",
            "ANTHROPIC_CONFIG_DIR",
        ]
        isProjects = (own + others).contains { variables.file(of: $0)?.place == .project }
        let (profile, finding) = Self.profile(variables)
        findings = finding.map { [$0] } ?? []
        let call = profile?["authentication"]
        rule = variables["ANTHROPIC_FEDERATION_RULE_ID"] ?? call?["federation_rule_id"]?.text
        organization = variables["ANTHROPIC_ORGANIZATION_ID"] ?? profile?["organization_id"]?.text
        account = variables["ANTHROPIC_SERVICE_ACCOUNT_ID"] ?? call?["service_account_id"]?.text
        workspace = variables["ANTHROPIC_WORKSPACE_ID"] ?? call?["workspace_id"]?.text
        let file = variables["ANTHROPIC_IDENTITY_TOKEN_FILE"] ?? call?["identity_token"]?["path"]?.text
        identity =
            file.map { Identity.file($0) }
            ?? (variables["ANTHROPIC_IDENTITY_TOKEN"] == nil ? nil : .variable("ANTHROPIC_IDENTITY_TOKEN"))
        let url = variables["ANTHROPIC_BASE_URL"] ?? profile?["base_url"]?.text
        gateway = url.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
    }

    private static func profile(_ variables: ClientVariables) -> (JSON?, Finding?) {
        guard let name = variables["ANTHROPIC_PROFILE"] else { return (nil, nil) }
        let home = variables.environment["HOME"] ?? ""
        let folder = variables["ANTHROPIC_CONFIG_DIR"] ?? "\(home)/.config/anthropic"
        let path = "\(folder)/configs/\(name).json"
        let remedy = "write the profile, or unset ANTHROPIC_PROFILE"
        do {
            let text = try TextFile.read(path, atMost: ClaudeCodeSettings.maximumLength, isFile: true)
            if StrictJSON.isObject(text), let json = try? JSON(parsing: Data(text.utf8)) { return (json, nil) }
            return (nil, .problem("federation", "\(path) is no JSON object", do: remedy))
        } catch {
            let words = (error as? CommandFailure)?.message ?? "\(path): it cannot be read"
            return (nil, .problem("federation", words, do: remedy))
        }
    }

    /// What is not there, and what that is called as a variable.
    var missing: [String] {
        let parts: [(String, Bool)] = [
            ("ANTHROPIC_FEDERATION_RULE_ID", rule != nil), ("ANTHROPIC_ORGANIZATION_ID", organization != nil),
            ("ANTHROPIC_SERVICE_ACCOUNT_ID", account != nil), ("ANTHROPIC_IDENTITY_TOKEN_FILE", identity != nil),
        ]
        return parts.filter { !$0.1 }.map(\.0)
    }

    var call: FederationCall? {
        guard let rule, let organization else { return nil }
        return FederationCall(rule: rule, organization: organization, account: account, workspace: workspace)
    }
}
