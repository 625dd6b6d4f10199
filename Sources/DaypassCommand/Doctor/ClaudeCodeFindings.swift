import BrokerClient

/// Whether Claude Code reads its settings, and can run the helper that they name.
struct ClaudeCodeFindings {
    private(set) var findings: [Finding] = []

    init(_ variables: ClientVariables, _ helper: ClaudeCodeHelper?, isFederating: Bool) {
        for file in variables.settings { check(file) }
        let lifetime = variables["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"].flatMap { Int($0) }
        if let lifetime, lifetime > 300_000 {
            findings.append(
                .warning(
                    "helper", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS is \(lifetime): a token may end before it is renewed",
                    do: "set it to 300000 at most"))
        }
        if let helper {
            findings.append(helper.finding)
        } else if !isFederating {
            findings.append(
                .warning(
                    "helper", "no settings of Claude Code name one",
                    do: "daypass setup claude-code, unless nobody uses Claude Code here"))
        }
    }

    private mutating func check(_ file: ClaudeCodeSettings) {
        switch file.content {
        case .document: break
        case .damaged:
            findings.append(
                .problem(
                    "settings", "\(file.path) is no JSON object: Claude Code ignores all of it",
                    do: "mend it, a comma too many or a comment for instance"))
        case .unclear:
            findings.append(
                .warning(
                    "settings",
                    "\(file.path) was not looked at: it names something twice, or has what few programs read",
                    do: "write each name once, and no number or character that there is not"))
        case .unreadable(let words): findings.append(.problem("settings", words, do: "let this user read it"))
        }
        // Elsewhere it keeps nobody from a helper.
        if file.place == .managed, file["forceLoginMethod"] != nil {
            findings.append(
                .problem(
                    "settings", "forceLoginMethod in \(file.path) keeps Claude Code from the helper",
                    do: "take it out, or sign in in the way that it wants"))
        }
    }
}
