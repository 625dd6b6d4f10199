import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// A real file system of 80 MB of the broker's own, which needs root or user namespaces.
@Suite(.onOwnThreads, .enabled("a file system has to be mounted") { try await SmallDisk.isPossible() })
struct `On a disk that is full` {
    private func revoke(_ token: String, _ broker: RunningBroker) async throws -> HTTPAnswer {
        let type = ("Content-Type", "application/x-www-form-urlencoded")
        return try await broker.send(.POST, "/oauth/revoke", [type], body: RunningBroker.form([("token", token)]))
    }

    private func proof(of issuer: TestIssuer) throws -> String {
        let claims = issuer.claims(subject: "job", at: Date())
        return try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
    }

    private func readiness(_ broker: RunningBroker) async throws -> HTTPAnswer {
        try await broker.send(.GET, broker.telemetry + "/readyz")
    }

    @Test func `a revocation is durable out of the reserve, without one in force, and after a crash still there`()
        async throws
    {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
        let disk = SmallDisk(
            workspace: workspace,
            steps: [
                ("filled", "cat /dev/zero > data/filling"),
                ("emptied", ": > data/daypass.db.reserve; cat /dev/zero >> data/filling"),
                ("freed", "rm data/filling"),
                ("copied", "rm -r kept; cp -r data kept; umount data; cp -r kept/. data"),
            ], folder: "data", size: "80m")
        let broker = try await RunningBroker(workspace, issuersAndRules: rules, through: disk.wrapper)
        var tokens: [String] = []
        for _ in 0..<5 {
            let answer = try await broker.exchange(proof(of: issuer))
            tokens.append(try #require(answer.text("access_token"), "\(answer.body)"))
        }

        try await disk.reach("filled")
        // The write-ahead log has some room of its own.
        var granted = 0
        while try await broker.exchange(proof(of: issuer)).status == 200 {
            granted += 1
            try #require(granted < 5000, "a disk that is full takes no more")
        }
        #expect(try await broker.exchange(proof(of: issuer)).status == 503)
        for token in tokens[..<2] {
            #expect(try await broker.verify(token).status == 200)
            let answer = try await revoke(token, broker)
            #expect(answer.status == 200, "\(answer.body)")
            #expect(try await broker.verify(token).status == 401)
        }
        #expect(try await broker.exchange(proof(of: issuer)).status == 503, "the reserve is for revocations alone")
        var answer = try await readiness(broker)
        #expect(answer.status == 503)
        #expect(answer.json["revocations"]?.object?["durable"] == true, "\(answer.body)")
        #expect(answer.body.contains("the disk is full"), "\(answer.body)")

        try await disk.reach("emptied")
        // The log's last room, and what the reserve gave before.
        var (refused, last) = (2, try await revoke(tokens[2], broker))
        while last.status == 200, refused < 4 {
            #expect(try await broker.verify(tokens[refused]).status == 401)
            refused += 1
            if refused < 4 { last = try await revoke(tokens[refused], broker) }
        }
        #expect(last.status == 503, "\(last.body)")
        #expect(try await broker.verify(tokens[refused]).status == 401, "it is in force all the same")
        #expect(try await broker.verify(tokens[4]).status == 200)
        answer = try await readiness(broker)
        #expect(answer.status == 503)
        #expect(answer.json["revocations"]?.object?["durable"] == false, "\(answer.body)")

        try await disk.reach("freed")
        try await waitUntil("it is durable") {
            try await readiness(broker).json["revocations"]?.object?["durable"] == true
        }
        #expect(try await broker.exchange(proof(of: issuer)).status == 200)
        #expect(try await readiness(broker).status == 200)
        try #require(broker.process.isRunning, "\(broker.process.error)")
        broker.process.signal(SIGKILL)
        _ = try await broker.process.outcome()
        try await disk.reach("copied")
        let again = try await RunningBroker(restarting: broker)
        for token in tokens[...refused] { #expect(try await again.verify(token).status == 401) }
        #expect(try await again.verify(tokens[4]).status == 200)
        again.process.signal(SIGTERM)
        #expect(try await again.process.outcome().status == 0)
    }
}
