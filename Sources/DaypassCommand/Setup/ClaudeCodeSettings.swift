import BrokerClient
import FoundationEssentials
import Glibc

/// One settings file of Claude Code.
struct ClaudeCodeSettings {
    /// Whose it is.
    enum Place {
        /// The machine's.
        case managed
        /// That of the folder in which it runs: whoever wrote what is in there.
        case project
        case own
    }

    enum Content {
        case document(JSONDocument)
        /// No JSON object: Claude Code ignores all of it.
        case damaged
        /// Claude Code may read it; this program does not, such as a name that comes twice.
        case unclear
        /// Why this user cannot read it.
        case unreadable(String)
    }

    /// In bytes; of a file that is longer nothing is read.
    static let maximumLength = 1 << 20

    let path: String
    let place: Place
    let content: Content

    /// Those that there are, the one first that wins.
    /// - Parameter folder: the machine's.
    static func all(_ environment: [String: String], managed folder: String = "/etc/claude-code")
        -> [ClaudeCodeSettings]
    {
        let parts = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/managed-settings.d")) ?? []
        var paths: [(String, Place)] = parts.filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }.sorted(by: >).map {
            ("\(folder)/managed-settings.d/\($0)", .managed)
        }
        paths.append(("\(folder)/managed-settings.json", .managed))
        let own = ownPath(environment)
        let ownReal = own.flatMap(real)
        paths += [(".claude/settings.local.json", .project), (".claude/settings.json", .project)]
        if let own { paths.append((own, .own)) }
        // In somebody's home the project's file and his own are the same.
        var seen: Set<String> = []
        return paths.compactMap { path, place in
            guard let real = real(path), seen.insert(real).inserted else { return nil }
            return ClaudeCodeSettings(path: path, place: real == ownReal ? .own : place, content: content(of: path))
        }
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    private static func content(of path: String) -> Content {
        let read: String
        do {
            read = try TextFile.read(path, atMost: maximumLength, isFile: true)
        } catch {
            return .unreadable((error as? CommandFailure)?.message ?? "\(path): it cannot be read")
        }
        // Both of which Claude Code takes.
        let text = read.hasPrefix("\u{FEFF}") ? String(read.unicodeScalars.dropFirst()) : read
        guard !text.allSatisfy(\.isWhitespace) else { return .document(JSONDocument()) }
        guard StrictJSON.isObject(text) else { return .damaged }
        return JSONDocument(text).map { .document($0) } ?? .unclear
    }

    /// Of the person who runs this; nil where HOME is not set.
    static func ownPath(_ environment: [String: String]) -> String? {
        let folder = environment["CLAUDE_CONFIG_DIR"] ?? environment["HOME"].map { "\($0)/.claude" }
        return folder.map { "\($0)/settings.json" }
    }

    subscript(path: String...) -> JSON? {
        if case .document(let document) = content { document.value(path) } else { nil }
    }

    var helper: String? { self["apiKeyHelper"]?.text }

    /// One that it sets; nil where it is empty.
    func variable(_ name: String) -> String? {
        guard let value = self["env", name] else { return nil }
        let text = value.text ?? value.shown
        return text.isEmpty ? nil : text
    }
}

/// The variables that Claude Code has: those of its settings win over those of the shell.
struct ClientVariables {
    /// Without variables that are empty.
    let environment: [String: String]
    let settings: [ClaudeCodeSettings]

    subscript(name: String) -> String? { file(of: name)?.variable(name) ?? environment[name] }

    /// Nil where the shell's counts, or where there is none.
    func file(of name: String) -> ClaudeCodeSettings? {
        settings.first { $0.variable(name) != nil }
    }
}
