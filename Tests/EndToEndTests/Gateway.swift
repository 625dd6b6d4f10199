import Foundation
import Testing

/// A gateway of `config/integrations`, which runs with the files and the command that stand there.
enum Gateway: String, CaseIterable, CustomTestStringConvertible {
    case envoyAsking = "Envoy with ext_authz"
    case envoyVerifying = "Envoy with jwt_authn"
    case nginx
    case haproxy = "HAProxy"
    case traefik = "Traefik"
    case caddy = "Caddy"

    /// Those that ask /verify about each request.
    static let asking = allCases.filter { !$0.verifiesByItself }
    static let verifying = allCases.filter(\.verifiesByItself)
    static let allAreInstalled = allCases.allSatisfy { $0.program != nil } && Programs.python != nil

    var testDescription: String { rawValue }

    var verifiesByItself: Bool { self == .envoyVerifying || self == .haproxy }

    private var program: String? {
        switch self {
        case .envoyAsking, .envoyVerifying: Programs.envoy
        case .nginx: Programs.nginx
        case .haproxy: Programs.haproxy
        case .traefik: Programs.traefik
        case .caddy: Programs.caddy
        }
    }

    private var folder: String {
        switch self {
        case .envoyAsking, .envoyVerifying: "envoy"
        case .nginx: "nginx"
        case .haproxy: "haproxy"
        case .traefik: "traefik"
        case .caddy: "caddy"
        }
    }

    /// The name of the configuration in the command of the README that starts the gateway.
    private var configuration: String {
        switch self {
        case .envoyAsking: "ext-authz.yaml"
        case .envoyVerifying: "jwt-authn.yaml"
        case .nginx: "nginx.conf"
        case .haproxy: "haproxy.cfg"
        case .traefik: "traefik.yaml"
        case .caddy: "caddy run"
        }
    }

    struct Ports {
        let gateway: Int
        /// Of the gateway's own, where it needs one more.
        let inner: Int
        let daypass: Int
        let application: Int
    }

    /// HAProxy does since 3.2, as its README says.
    var dropsTrailers: Bool {
        get async throws {
            guard self == .haproxy else { return true }
            let version = try await RunningProcess(try #require(program), ["-v"]).outcome().output
            let found = try #require(version.firstMatch(of: /version (\d+)\.(\d+)/), "\(version)")
            return try #require(Int(found.1)) * 100 + #require(Int(found.2)) >= 302
        }
    }

    /// Copies its folder into that of the workspace, with other ports, and with `issuer` where a token's `iss` is meant.
    /// - Parameter changes: texts that stand in its files, and what is to stand there.
    func install(
        in workspace: Workspace, _ ports: Ports, issuer: String, changing changes: [String: String] = [:]
    ) async throws {
        var left = Set(changes.keys)
        let source = Programs.repository.appending(path: "config/integrations/\(folder)")
        var count = 0
        for name in try FileManager.default.contentsOfDirectory(atPath: source.path(percentEncoded: false)) {
            let file = source.appending(path: name)
            let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n").map { line in
                var line = line
                for (old, new) in changes where line.contains(old) {
                    left.remove(old)
                    line = line.replacing(old, with: new)
                }
                if line.contains("issuer") { line = line.replacing("http://127.0.0.1:8080", with: issuer) }
                for (old, new) in [
                    ("8000", ports.gateway), ("8001", ports.inner), ("8080", ports.daypass),
                    ("9000", ports.application),
                ] {
                    let changed = line.replacing(try Regex("\\b\(old)\\b").wordBoundaryKind(.simple), with: "\(new)")
                    if changed != line { count += 1 }
                    line = changed
                }
                return line
            }
            try workspace.write("gateway/\(name)", lines.joined(separator: "\n"))
            guard FileManager.default.isExecutableFile(atPath: file.path(percentEncoded: false)) else { continue }
            // By a program: a file that this process writes may be open in another test's child, and cannot be run then.
            let path = workspace.path("gateway/\(name)")
            let made = try await RunningProcess(
                "/bin/sh", ["-c", "mv \"$1\" \"$1.text\" && cp \"$1.text\" \"$1\" && chmod +x \"$1\"", "sh", path]
            ).outcome()
            try #require(made.status == 0, "\(made.error)")
        }
        try #require(count >= 3, "\(rawValue): the ports were not found")
        try #require(left.isEmpty, "\(rawValue): \(left)")
    }

    /// The commands of its README, a block each: that which starts it first, then what else has to run beside it.
    private func commands() throws -> [[String]] {
        let file = Programs.repository.appending(path: "config/integrations/\(folder)/README.md")
        let blocks = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n```")
            .filter { $0.hasPrefix("sh\n") }.map { $0.split(separator: "\n").dropFirst().map(String.init) }
        let first = try #require(blocks.firstIndex { $0.last?.contains(configuration) == true })
        return folder == "envoy" ? [blocks[first]] : Array(blocks[first...])
    }

    /// Runs those of the README's lines that come before the gateway's own.
    func prepare(in workspace: Workspace) async throws {
        for line in try commands()[0].dropLast() {
            let outcome = try await run(line, in: workspace).outcome()
            try #require(outcome.status == 0, "\(line): \(outcome.error)")
        }
    }

    func start(in workspace: Workspace, base: Int) throws -> RunningProcess {
        let line = try #require(try commands()[0].last)
        // Two Envoys of one host need different numbers.
        let more = folder == "envoy" ? " --concurrency 1 --base-id \(base) -l error" : ""
        return try run(line + more, in: workspace)
    }

    /// What has to run beside it, if anything.
    func startCompanion(in workspace: Workspace, _ more: String = "") throws -> RunningProcess? {
        guard let line = try commands().dropFirst().first?.last else { return nil }
        return try run(line + more, in: workspace)
    }

    private func run(_ line: String, in workspace: Workspace) throws -> RunningProcess {
        var environment = ProcessInfo.processInfo.environment
        let folders = try [#require(Programs.envoy), #require(program)].map {
            URL(filePath: $0).deletingLastPathComponent().path(percentEncoded: false)
        }
        environment["PATH"] = (folders + [environment["PATH"] ?? ""]).joined(separator: ":")
        environment["HOME"] = workspace.path("gateway")
        return try RunningProcess(
            "/bin/sh", ["-c", "exec \(line)"], in: workspace.folder.appending(path: "gateway"),
            environment: environment, seconds: 240)
    }
}
