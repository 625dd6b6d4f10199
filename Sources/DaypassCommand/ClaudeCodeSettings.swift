import BrokerClient
import FoundationEssentials
import Glibc

/// One settings file of Claude Code.
struct ClaudeCodeSettings {
    /// In bytes; of a file that is longer nothing is read.
    static let maximumLength = 1 << 20

    let path: String
    /// Nil where it is no JSON object: Claude Code then ignores all of it.
    let json: JSON?

    /// Those that there are, the one first that wins.
    static func all(_ environment: [String: String]) -> [ClaudeCodeSettings] {
        var paths = [
            "/etc/claude-code/managed-settings.json", ".claude/settings.local.json", ".claude/settings.json",
        ]
        if let own = ownPath(environment) { paths.append(own) }
        // In somebody's home the project's file and his own are the same.
        var seen: Set<String> = []
        return paths.compactMap { path -> ClaudeCodeSettings? in
            guard let real = realpath(path, nil) else { return nil }
            defer { free(real) }
            guard seen.insert(String(cString: real)).inserted else { return nil }
            let text = try? TextFile.read(path, atMost: maximumLength)
            let json = text.flatMap { StrictJSON.isObject($0) ? try? JSON(parsing: Data($0.utf8)) : nil }
            guard case .object? = json else { return ClaudeCodeSettings(path: path, json: nil) }
            return ClaudeCodeSettings(path: path, json: json)
        }
    }

    /// Of the person who runs this; nil where HOME is not set.
    static func ownPath(_ environment: [String: String]) -> String? {
        let folder = environment["CLAUDE_CONFIG_DIR"] ?? environment["HOME"].map { "\($0)/.claude" }
        return folder.map { "\($0)/settings.json" }
    }

    var helper: String? { json?["apiKeyHelper"]?.text }

    var variables: [String: String] {
        guard case .object(let members)? = json?["env"] else { return [:] }
        return members.compactMapValues(\.text)
    }
}
