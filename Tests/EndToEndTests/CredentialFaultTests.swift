import AsyncHTTPClient
import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

/// The programs are killed where it hurts, `DAYPASS_KILLS` times, or 5 where that does not say how often.
@Suite(.onOwnThreads, .timeLimit(.minutes(15))) struct `Provider credentials and the end of a process` {
    private static let kills = ProcessInfo.processInfo.environment["DAYPASS_KILLS"].flatMap { Int($0) } ?? 5

    /// Promotes versions 1, 2 and 3 in turns until nobody answers.
    private final class Promoting: Sendable {
        let url: String
        private let done: Mutex<[Int]>

        init(_ socket: String) {
            url = "http+unix://\(socket.split(separator: "/").reduce("") { "\($0)%2F\($1)" })/admin/v1/credentials/"
            done = Mutex([])
        }

        /// What the broker has said to be promoted.
        var acknowledged: [Int] { done.withLock { $0 } }

        func run(from start: Int) async {
            var number = start
            while true {
                number = number % 3 + 1
                var request = HTTPClientRequest(url: "\(url)anthropic/versions/\(number)/promote")
                request.method = .POST
                request.headers.add(name: "Connection", value: "close")
                guard let answer = try? await HTTPClient.shared.execute(request, timeout: .seconds(20)),
                    answer.status == .ok, (try? await answer.body.collect(upTo: 65_536)) != nil
                else { return }
                done.withLock { $0.append(number) }
            }
        }
    }

    /// Adds a version, promotes it and retires the one before, again and again, until nobody answers.
    private final class Rotating: Sendable {
        struct Progress {
            /// What the broker has said.
            var states: [Int: CredentialVersion.State]
            /// What they are where the last step was made without its answer.
            var next: [Int: CredentialVersion.State]
            var steps = 0
        }

        private let url: String
        private let progress: Mutex<Progress>

        var current: Progress { progress.withLock(\.self) }

        init(_ socket: String, from states: [Int: CredentialVersion.State]) {
            url = "http+unix://\(socket.split(separator: "/").reduce("") { "\($0)%2F\($1)" })/admin/v1/credentials/"
            progress = Mutex(Progress(states: states, next: states))
        }

        static func secret(_ number: Int) -> String { "secret \(number) " + String(repeating: "x", count: 30_000) }

        func run() async {
            while true {
                var states = current.states
                var path = "anthropic/versions"
                var request = HTTPClientRequest(url: "")
                request.method = .POST
                request.headers.add(name: "Connection", value: "close")
                if let staged = states.first(where: { $0.value == .staged })?.key {
                    path += "/\(staged)/promote"
                    for (number, state) in states where state == .active { states[number] = .draining }
                    states[staged] = .active
                } else if let draining = states.first(where: { $0.value == .draining })?.key {
                    path += "/\(draining)/retire"
                    states[draining] = .retired
                } else {
                    let number = (states.keys.max() ?? 0) + 1
                    request.headers.add(name: "Content-Type", value: "application/octet-stream")
                    request.body = .bytes(ByteBuffer(string: Self.secret(number)))
                    states[number] = .staged
                }
                request.url = url + path
                progress.withLock { [states] in $0.next = states }
                guard let answer = try? await HTTPClient.shared.execute(request, timeout: .seconds(20)),
                    (200...201).contains(answer.status.code), (try? await answer.body.collect(upTo: 65_536)) != nil
                else { return }
                progress.withLock { [states] in ($0.states, $0.steps) = (states, $0.steps + 1) }
            }
        }
    }

    @Test
    func `a kill in the middle of adding, promoting and retiring leaves each made or not, and one usable version`()
        async throws
    {
        let stage = try await AdministeredGrants()
        let workspace = stage.broker.workspace
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        try await StoredCredentials.open(workspace) { stored in
            _ = try await stored.add(Array(Rotating.secret(1).utf8))
            _ = try await stored.credentials.promote(1, of: stored.provider, by: .daemon, under: TraceID())
        }
        var states: [Int: CredentialVersion.State] = [1: .active]
        for kill in 1...Self.kills * 3 {
            let broker = try await RunningBroker(restarting: stage.broker)
            try await waitUntil("daypassd is administered") {
                broker.process.error.contains(#""listener":"admin""#)
            }
            #expect(!broker.process.error.contains("does not open"))
            let listed = try await stage.done("credentials", "list", "anthropic")
            #expect(listed.split(separator: "\n").count { $0.contains(" active ") } == 1, "\(listed)")
            let rotating = Rotating(workspace.path("run/admin.sock"), from: states)
            async let running: Void = rotating.run()
            // Any of the three may be the one that is under way.
            let wanted = Int.random(in: 1...9)
            try await waitUntil("some steps are made", within: 60) { rotating.current.steps >= wanted }
            for _ in 0..<Int.random(in: 0...3000) { await Task.yield() }
            broker.process.signal(SIGKILL)
            _ = try await broker.process.outcome()
            await running
            let progress = rotating.current
            let comment: Comment = "kill \(kill) between \(progress.states) and \(progress.next)"

            let (found, opened) = try await StoredCredentials.open(workspace) {
                (try await $0.states(), String(decoding: try await $0.opened(), as: UTF8.self))
            }
            #expect(found == progress.states || found == progress.next, comment)
            let active = found.filter { $0.value == .active }.map(\.key)
            #expect(active.count == 1, comment)
            #expect(opened == Rotating.secret(active.first ?? 0), comment)
            #expect(try await Self.told(stage).states == found.mapValues(\.rawValue), comment)
            #expect(try await Self.sealed(stage) == found.count { $0.value != .retired }, comment)
            states = found
        }
        #expect(states.count > 3, "all three were made: \(states)")
    }

    /// How many versions have a secret in the store.
    private static func sealed(_ stage: AdministeredGrants) async throws -> Int {
        let script =
            "import sqlite3,sys\nprint(sqlite3.connect(sys.argv[1]).execute("
            + "'SELECT count(*) FROM provider_credentials WHERE length(sealed) > 0').fetchone()[0])"
        let read = try await RunningProcess(
            try #require(Programs.python), ["-c", script, stage.broker.workspace.path("data/daypass.db")]
        ).outcome()
        return try #require(Int(read.output.split(separator: "\n").first ?? ""), "\(read.error)")
    }

    /// The versions' states as the audit records tell them, and how many promotions there are.
    private static func told(_ stage: AdministeredGrants) async throws -> (states: [Int: String], count: Int) {
        var states: [Int: String] = [:]
        let script =
            "import sqlite3,sys\nfor r in sqlite3.connect(sys.argv[1]).execute("
            + "\"SELECT details FROM audit WHERE kind LIKE 'credential.%' ORDER BY sequence\"): print(r[0])"
        let read = try await RunningProcess(
            try #require(Programs.python), ["-c", script, stage.broker.workspace.path("data/daypass.db")]
        ).outcome()
        for line in read.output.split(separator: "\n") {
            let record = try JSONReader.readObject(Array(line.utf8))
            for move in record["versions"]?.array?.compactMap(\.object) ?? [] {
                let number = Int(move["version"]?.number ?? 0)
                #expect(states[number] == move["before"]?.string?.string, "\(line)")
                states[number] = move["after"]?.string?.string
            }
        }
        return (states, try await stage.audited("credential.promoted").count)
    }

    @Test func `a kill in the middle of promoting leaves one active version, and what was acknowledged is on record`()
        async throws
    {
        let stage = try await AdministeredGrants()
        let workspace = stage.broker.workspace
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        try await StoredCredentials.open(workspace) { stored in
            for number in 1...3 { _ = try await stored.add(Array("secret \(number)".utf8)) }
        }
        var (acknowledged, last) = (0, 0)
        for kill in 1...Self.kills {
            let broker = try await RunningBroker(restarting: stage.broker)
            try await waitUntil("daypassd is administered") {
                broker.process.error.contains(#""listener":"admin""#)
            }
            let promoting = Promoting(workspace.path("run/admin.sock"))
            let start = last
            async let running: Void = promoting.run(from: start)
            let wanted = Int.random(in: 1...12)
            try await waitUntil("some are promoted", within: 60) { promoting.acknowledged.count >= wanted }
            for _ in 0..<Int.random(in: 0...3000) { await Task.yield() }
            broker.process.signal(SIGKILL)
            _ = try await broker.process.outcome()
            await running
            acknowledged += promoting.acknowledged.count
            last = try #require(promoting.acknowledged.last)
            let comment: Comment = "kill \(kill) after \(promoting.acknowledged)"

            let (states, opened) = try await StoredCredentials.open(workspace) {
                (try await $0.states(), String(decoding: try await $0.opened(), as: UTF8.self))
            }
            let active = states.filter { $0.value == .active }.map(\.key)
            #expect(active.count == 1 && states.count == 3 && !states.values.contains(.retired), comment)
            // One more may have been promoted than was said.
            #expect(active == [last] || active == [last % 3 + 1], comment)
            #expect(opened == "secret \(active.first ?? 0)", comment)
            let (told, count) = try await Self.told(stage)
            #expect(told == states.mapValues(\.rawValue), comment)
            #expect(count >= acknowledged && count <= acknowledged + kill, comment)
            last = active.first ?? last
        }
    }

    @Test func `a kill in the middle of rewrap loses no secret, the broker refuses to serve, and the next run ends it`()
        async throws
    {
        let stage = try await AdministeredGrants()
        let workspace = stage.broker.workspace
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        // Long enough for the resealing to take a while.
        func secret(_ provider: Int, _ number: Int) -> [UInt8] {
            [UInt8](repeating: UInt8(number), count: 65_000) + Array("\(provider)".utf8)
        }
        let providers = try (1...20).map { try #require(ProviderName(parsing: "provider-\($0)")) }
        try await StoredCredentials.open(workspace) { stored in
            for (index, provider) in providers.enumerated() {
                for number in 1...8 { _ = try await stored.add(secret(index, number), to: provider) }
                _ = try await stored.credentials.promote(5, of: provider, by: .daemon, under: TraceID())
            }
        }
        let (key, new) = (workspace.path("data/master.key"), workspace.path("data/new.key"))
        func daypassd(_ arguments: String...) throws -> RunningProcess {
            try RunningProcess(Programs.daypassd, arguments + ["--config", workspace.path("daypass.yaml")])
        }
        func sealers() async throws -> [String: Int] {
            try await StoredCredentials.open(workspace) { stored in
                Dictionary(try await stored.store.sealedRows().map { ($0.masterKeyID.string, 1) }) { $0 + $1 }
            }
        }
        var partial = 0
        for _ in 0..<Self.kills {
            let rewrap = try daypassd("rewrap", "--new-master-key-file", new)
            let wanted = Int.random(in: 1...45) * 70_000
            try await waitUntil("some rows are sealed anew") {
                let log = try? FileManager.default.attributesOfItem(atPath: workspace.path("data/daypass.db-wal"))
                return log?[.size] as? Int ?? 0 >= wanted || !rewrap.isRunning
            }
            rewrap.signal(SIGKILL)
            _ = try await rewrap.outcome()
            let before = try await sealers()
            #expect(before.values.reduce(0, +) == 163)
            if before.count == 2 {
                partial += 1
                // Neither with the old key nor, were it put in its place too early, with the new one.
                for file in [key, new] {
                    let swapped = file == new
                    if swapped {
                        try FileManager.default.moveItem(atPath: key, toPath: key + ".old")
                        try FileManager.default.copyItem(atPath: new, toPath: key)
                    }
                    let refused = try await daypassd("serve").outcome()
                    #expect(
                        refused.status == 1 && refused.error.contains("was sealed with master key"), "\(refused.error)")
                    if swapped {
                        let names = ["of the credential of provider-", "audit checkpoint key "]
                        #expect(names.contains { refused.error.contains($0) }, "\(refused.error)")
                        try FileManager.default.removeItem(atPath: key)
                        try FileManager.default.moveItem(atPath: key + ".old", toPath: key)
                    }
                }
            }
            let ended = try await daypassd("rewrap", "--new-master-key-file", new).outcome()
            #expect(ended.status == 0 && ended.output.contains("seals all 163 secrets"), "\(ended.error)")
            #expect(try await sealers().count == 1)
            try #require(rename(new, key) == 0)
            for (index, provider) in providers.enumerated() {
                let opened = try await StoredCredentials.open(workspace) { try await $0.opened(provider) }
                #expect(opened == secret(index, 5), "\(provider)")
            }
        }
        #expect(partial > 0, "it was never in the middle")
    }

    /// Runs a program with core dumps allowed until it is ready, ends it by a signal that makes one, and prints by which
    /// signal it ended, whether there was one, and whether it told what its registers pointed to.
    private static let dumping = """
        import os, resource, signal, subprocess, sys, time
        def allow(): resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        process = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=allow)
        if sys.argv[1] == "limited":
            for _ in range(1500):
                limits = open(f"/proc/{process.pid}/limits").read()
                line = next(l for l in limits.splitlines() if l.startswith("Max core file size"))
                if line.split()[4:6] == ["0", "0"]: break
                time.sleep(0.02)
        else:
            time.sleep(0.5)
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
        print(os.WTERMSIG(status), os.WCOREDUMP(status), b"Registers" in process.stderr.read())
        """

    @Test(.enabled(if: Programs.python != nil))
    func `neither program leaves a core dump or a report of its memory when it crashes, and it does end`() async throws
    {
        let stage = try await AdministeredGrants()
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        let workspace = stage.broker.workspace
        func dump(_ kind: String, _ command: [String]) async throws -> String {
            let run = try await RunningProcess(
                try #require(Programs.python), ["-c", Self.dumping, kind] + command, in: workspace.folder
            ).outcome()
            return run.output + run.error
        }
        for command in [
            [Programs.daypassd, "serve", "--config", workspace.path("daypass.yaml")],
            [Programs.daypass, "credentials", "add", "anthropic", "--socket", workspace.path("run/admin.sock")],
        ] {
            #expect(try await dump("limited", command) == "6 False False\n", "\(command)")
        }
        let cores = {
            try FileManager.default.contentsOfDirectory(atPath: workspace.path("")).filter { $0.hasPrefix("core") }
        }
        #expect(try cores() == [])
        // So that it can fail: where the system lets nobody dump, that is all that can be seen.
        let other = try await dump("any", ["/bin/sleep", "60"])
        #expect(other == "6 True False\n" || other == "6 False False\n", "\(other)")
    }

    @Test(.enabled(if: geteuid() == 0))
    func `nobody reads the memory of either program, not even as the same user`() async throws {
        let user = ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        let workspace = try Workspace()
        let manager = FileManager.default
        try manager.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: workspace.folder.deletingLastPathComponent().path)
        try manager.setAttributes(
            [.ownerAccountID: 65534, .groupOwnerAccountID: 65534], ofItemAtPath: workspace.path(""))
        func run(_ command: [String]) throws -> RunningProcess {
            let all = user + command
            return try RunningProcess(all[0], Array(all.dropFirst()), in: workspace.folder)
        }
        func environment(of process: RunningProcess) async throws -> Int32 {
            try await run(["cat", "/proc/\(process.id)/environ"]).outcome().status
        }
        let sleeping = try run(["sleep", "60"])
        try await waitUntil("it sleeps") {
            try String(contentsOfFile: "/proc/\(sleeping.id)/comm", encoding: .utf8) == "sleep\n"
        }
        #expect(try await environment(of: sleeping) == 0)

        let made = try await run([Programs.daypassd, "init", "--config", workspace.path("config/daypass.yaml")])
            .outcome()
        try #require(made.status == 0, "\(made.error)")
        let file = workspace.path("config/daypass.yaml")
        try workspace.moveListeners()
        try manager.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
        let serving = try run([Programs.daypassd, "serve", "--config", file])
        try await waitUntil("daypassd listens") {
            try #require(serving.isRunning, "\(serving.error)")
            return serving.error.contains(#""listener":"public""#)
        }
        #expect(try await environment(of: serving) == 1)

        try #require(mkfifo(workspace.path("fifo"), 0o666) == 0)
        try manager.setAttributes([.posixPermissions: 0o666], ofItemAtPath: workspace.path("fifo"))
        let pipe = open(workspace.path("fifo"), O_RDWR | O_CLOEXEC)
        try #require(pipe >= 0 && write(pipe, "sk-ant", 6) == 6)
        defer { close(pipe) }
        let adding = try run([Programs.daypass, "credentials", "add", "anthropic", "--file", workspace.path("fifo")])
        try await waitUntil("the command has read it") {
            try #require(adding.isRunning, "\(adding.error)")
            var left: Int32 = 0
            return ioctl(pipe, 0x541B, &left) == 0 && left == 0
        }
        #expect(try await environment(of: adding) == 1)
    }
}
