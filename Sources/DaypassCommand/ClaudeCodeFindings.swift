import BrokerClient
import Glibc

/// Whether Claude Code reads its settings, and can run the helper that they name.
struct ClaudeCodeFindings {
    private(set) var findings: [Finding] = []

    private let environment: [String: String]

    init(_ environment: [String: String], _ settings: [ClaudeCodeSettings]) {
        self.environment = environment
        for file in settings where file.json == nil {
            findings.append(
                .problem(
                    "settings", "\(file.path) is no JSON object: Claude Code ignores all of it",
                    do: "mend it, a comma too many or a comment for instance"))
        }
        for file in settings where file.json?["forceLoginMethod"] != nil {
            findings.append(
                .problem(
                    "settings", "forceLoginMethod in \(file.path) keeps Claude Code from the helper",
                    do: "take it out, or sign in in the way that it wants"))
        }
        let lifetimes =
            [environment["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"]]
            + settings.map { $0.variables["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"] }
        if let longest = lifetimes.compactMap({ $0.flatMap { Int($0) } }).max(), longest > 300_000 {
            findings.append(
                .warning(
                    "helper", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS is \(longest): a token may end before it is renewed",
                    do: "set it to 300000 at most"))
        }
        if let file = settings.first(where: { $0.helper != nil }), let helper = file.helper {
            check(helper, file.path)
        } else if environment["ANTHROPIC_FEDERATION_RULE_ID"] == nil {
            findings.append(
                .warning(
                    "helper", "no settings of Claude Code name one",
                    do: "daypass setup claude-code, unless nobody uses Claude Code here"))
        }
    }

    private mutating func check(_ helper: String, _ path: String) {
        guard let program = Self.program(of: helper) else {
            return findings.append(
                .warning("helper", "that of \(path) is more than a command: it was not checked", do: "try it by hand"))
        }
        let folders = (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map(String.init)
        let home = environment["HOME"] ?? ""
        let candidates =
            program.hasPrefix("~/")
            ? ["\(home)\(program.dropFirst())"]
            : program.contains("/") ? [program] : folders.map { "\($0)/\(program)" }
        if candidates.contains(where: Self.isExecutable) {
            return findings.append(.good("helper", "\(program), as \(path) says"))
        }
        if let file = candidates.first(where: { access($0, F_OK) == 0 }) {
            return findings.append(.problem("helper", "\(file) cannot be run by this user", do: "chmod +x \(file)"))
        }
        findings.append(
            .problem(
                "helper", "\(path) names \(program), which is not there",
                do: "install daypass there, or run daypass setup claude-code again"))
    }

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    /// The program that /bin/sh would start, behind variables that are set for it alone.
    /// - Returns: nil where that takes a shell to say.
    static func program(of line: String) -> String? {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in line {
            if let open = quote {
                if character == open {
                    quote = nil
                } else if open == "\"", "$`\\".contains(character) {
                    return nil
                } else {
                    word = (word ?? "") + String(character)
                }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " || character == "\t" {
                if let done = word { words.append(done) }
                word = nil
            } else if "$`\\;&|<>(){}*?[]#!\n".contains(character) {
                return nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        guard quote == nil else { return nil }
        if let done = word { words.append(done) }
        return words.first { !isAssignment($0) }
    }

    private static func isAssignment(_ word: String) -> Bool {
        guard let end = word.firstIndex(of: "="), end > word.startIndex else { return false }
        return word[..<end].utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F
        }
    }
}
