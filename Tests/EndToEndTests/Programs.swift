import Foundation

/// Where the programs are that the tests run.
enum Programs {
    static let daypassd = built("daypassd")
    static let daypass = built("daypass")
    static let rotationLoop = built("RotationLoop")

    /// A binary that was built with the tests.
    private static func built(_ name: String) -> String {
        let folder = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        let candidates = [
            folder, URL(filePath: FileManager.default.currentDirectoryPath).appending(path: ".build/debug"),
        ]
        let found = candidates.map { $0.appending(path: name).path(percentEncoded: false) }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        return found ?? "/nonexistent/\(name)"
    }

    /// From `Tests/Peers/install`, if that was run.
    static let envoy = peer("envoy")
    static let caddy = peer("caddy")
    static let traefik = peer("traefik")
    static let peerPython = peer("oidc-provider-mock").flatMap { _ in peer("python") }
    static let anthropicPython = peer("python").flatMap { hasPackage("anthropic", $0) ? $0 : nil }
    /// Claude Code, which the wheel of `claude-agent-sdk` holds.
    static let claude = peer("python").flatMap { packages($0) }.flatMap { packages in
        let path = "\(packages)/claude_agent_sdk/_bundled/claude"
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }
    /// The same interpreter, for the packages `cryptography` and `joserfc`.
    static let certificatePython = peer("python").flatMap { hasPackage("joserfc", $0) ? $0 : nil }
    /// The same interpreter, where it can drive Debian's Chromium.
    static let browserPython = peer("python").flatMap { python in
        let programs = ["/usr/bin/chromium", "/usr/bin/chromedriver"]
        return hasPackage("selenium", python)
            && programs.allSatisfy(FileManager.default.isExecutableFile(atPath:)) ? python : nil
    }
    static let curl = onPath("curl")
    static let openssl = onPath("openssl")
    /// Where Debian has it, which is on the path of few.
    static let haproxy = ["/usr/sbin/haproxy"].first(where: FileManager.default.isExecutableFile(atPath:))
    static let prlimit = onPath("prlimit")
    static let python = onPath("python3")
    /// Comes with Swift.
    static let clang = onPath("clang")
    static let nginx = onPath("nginx") ?? onPath("nginx", "/usr/sbin")
    /// An OpenID provider; `certificatePython` prepares it.
    static let glewlwyd = certificatePython.flatMap { _ in onPath("glewlwyd") }
    static let tmux = onPath("tmux")
    /// From the package prometheus.
    static let promtool = onPath("promtool")

    static let repository = URL(filePath: #filePath).appending(path: "../../..").standardized

    private static func peer(_ name: String) -> String? {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache"
        let path = "\(environment["DAYPASS_PEERS"] ?? "\(cache)/daypass-test-peers")/bin/\(name)"
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }

    /// Whether the virtual environment of this interpreter has a package.
    private static func hasPackage(_ name: String, _ python: String) -> Bool {
        packages(python).map { FileManager.default.fileExists(atPath: "\($0)/\(name)") } ?? false
    }

    /// Where the packages of this interpreter are.
    private static func packages(_ python: String) -> String? {
        let library = URL(filePath: python).appending(path: "../../lib").standardized.path(percentEncoded: false)
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: library)) ?? []
        return versions.map { "\(library)/\($0)/site-packages" }.first(where: FileManager.default.fileExists(atPath:))
    }

    /// - Parameter path: folders, the process's own where it is nil.
    private static func onPath(_ name: String, _ path: String? = nil) -> String? {
        (path ?? ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}
