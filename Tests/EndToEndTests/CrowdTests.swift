import BrokerTesting
import Foundation
import NIOHTTP1
import Testing

/// Thousands of connections that want nothing, or never say what, and the real program.
@Suite(
    .onOwnThreads, .serialized, .timeLimit(.minutes(3)),
    .enabled(if: Programs.python != nil && Crowd.mayOpenFiles, "python3 or 12,000 open files are not to be had"))
struct `A crowd of connections` {
    private func broker() async throws -> RunningBroker {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com")
        return try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace))
    }

    private func run(_ script: String, _ broker: RunningBroker) throws -> RunningProcess {
        let port = broker.origin.split(separator: ":").last.map(String.init) ?? ""
        return try RunningProcess(try #require(Programs.python), ["-c", Crowd.opening + script, port])
    }

    private func metric(_ name: String, _ broker: RunningBroker) async throws -> Int {
        let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
        let line = try #require(metrics.split(separator: "\n").first { $0.hasPrefix(name + " ") })
        return try #require(Int(line.dropFirst(name.count + 1)))
    }

    @Test func `ten thousand that are idle cost little and leave room to others, and the silent among them are closed`()
        async throws
    {
        let broker = try await broker()
        #expect(try await broker.send(.GET, "/healthz").status == 200)
        let before = try Crowd.resident(broker.process.id)
        // In five networks: one address may have a quarter of all, and a network half. Whoever has asked once may idle for a
        // minute, who never does for ten seconds.
        let script = """
            def idle(n):
                s = connect(n % 5)
                s.sendall(b"GET /verify HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                return s
            c = [idle(n) for n in range(9000)] + [connect(n % 5) for n in range(900)]
            for s in c[:9000]: s.recv(4096)
            print("open", flush=True); time.sleep(100)
            """
        let crowd = try run(script, broker)
        try await waitUntil("the connections are open", within: 60) {
            try #require(crowd.isRunning, "\(crowd.error)")
            return crowd.output.contains("open")
        }
        #expect(try await metric("daypass_connections_open", broker) >= 9000)
        #expect(try await broker.send(.GET, "/healthz").status == 200)
        #expect(try await broker.send(.GET, "\(broker.telemetry)/readyz").status == 200)
        let grown = try Crowd.resident(broker.process.id) - before
        #expect(grown < 9900 * 24 * 1024, "\(grown / 9900) bytes each")
        try await waitUntil("the silent are gone") { try await metric("daypass_connections_open", broker) < 9100 }
        #expect(try await broker.send(.GET, "/healthz").status == 200)
        crowd.signal(SIGKILL)
        _ = try await crowd.outcome()
    }

    @Test func `headers without end are answered 431, and those that stop before it 408`() async throws {
        let broker = try await broker()
        let before = try Crowd.resident(broker.process.id)
        let script = """
            def flood(n):
                s = connect(n % 5)
                s.settimeout(30)
                try:
                    s.sendall(b"GET /verify HTTP/1.1\\r\\nHost: a\\r\\n")
                    for i in range(2 if n % 2 else 60): s.sendall(b"X-%d: " % i + b"a" * 8000 + b"\\r\\n")
                except OSError: pass
                return s
            def status(s):
                try: return s.recv(12)[9:].decode()
                except OSError: return ""
            found = Counter(map(status, [flood(n) for n in range(500)]))
            print(found.pop("408"), found.pop("431") + found.pop("", 0), dict(found), flush=True)
            """
        let crowd = try await run(script, broker).outcome()
        // Whoever writes on for too long loses the answer with the connection.
        #expect(crowd.output == "250 250 {}\n", "\(crowd.output) \(crowd.error)")
        let grown = try Crowd.resident(broker.process.id) - before
        #expect(grown < 64 * 1024 * 1024, "\(grown)")
        #expect(try await metric(#"daypass_limit_refusals_total{limit="headers"}"#, broker) == 250)
        #expect(try await metric(#"daypass_limit_refusals_total{limit="slow_request"}"#, broker) == 250)
        #expect(try await broker.send(.GET, "/healthz").status == 200)
    }
}

/// What the tests of crowds share.
private enum Crowd {
    /// Clients of 127.N.0.1 each.
    static let opening = """
        import resource, socket, sys, time
        from collections import Counter
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        def connect(n):
            s = socket.socket()
            s.bind((f"127.{n + 1}.0.1", 0))
            s.connect(("127.0.0.1", int(sys.argv[1])))
            return s

        """

    static let mayOpenFiles: Bool = {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 && limit.rlim_max >= 12_000
    }()

    /// In bytes.
    static func resident(_ process: pid_t) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(Int(line.filter(\.isNumber))) * 1024
    }
}
