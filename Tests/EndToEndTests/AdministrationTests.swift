import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `A running broker's administration` {
    @Test func `is there for the command with the shipped configuration, and gone with the broker`() async throws {
        let workspace = try Workspace()
        let made = try await RunningProcess(Programs.daypassd, ["init"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        try workspace.moveListeners()
        let broker = try RunningProcess(Programs.daypassd, ["serve"], in: workspace.folder)
        try await waitUntil("daypassd is administered") {
            try #require(broker.isRunning, "\(broker.error)")
            return broker.error.contains(#""listener":"admin""#)
        }
        let socket = workspace.path("config/run/admin.sock")
        for (path, mode) in [(socket, 0o600), (workspace.path("config/run"), 0o700)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == mode)
        }
        // It finds the socket by itself in the folder where daypassd runs.
        let issuers = try await AdministeredBroker.daypass(["issuers", "list", "--json"], [:], in: workspace.folder)
        #expect(issuers.status == 0, "\(issuers.error)")
        let list = try JSONReader.readObject(Array(issuers.output.utf8))
        #expect(list["issuers"]?.array?.isEmpty == false)
        broker.signal(SIGTERM)
        #expect(try await broker.outcome().status == 0)
        #expect(!FileManager.default.fileExists(atPath: socket))
    }

    @Test func `starts again where the one before was killed, and not where one is running`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
        let broker = try await RunningBroker(workspace, issuersAndRules: rules, admin: "{socket: run/admin.sock}")
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
        broker.process.signal(SIGKILL)
        _ = try await broker.process.outcome()
        #expect(FileManager.default.fileExists(atPath: workspace.path("run/admin.sock")))
        let again = try await RunningBroker(restarting: broker)
        try await waitUntil("daypassd is administered") { again.process.error.contains(#""listener":"admin""#) }

        // Another store, the same socket.
        let other = try Workspace()
        let second = try await RunningBroker(
            other, issuersAndRules: RunningBroker.fileIssuer(issuer, in: other),
            admin: "{socket: \"\(workspace.path("run/admin.sock"))\"}", announcesItself: false, waits: false)
        let outcome = try await second.process.outcome()
        #expect(outcome.status == 1)
        #expect(outcome.error.contains("another program listens on it"), "\(outcome.error)")
        let list = try await AdministeredBroker.daypass(
            ["issuers", "list"], ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
        #expect(list.status == 0, "\(list.error)")
    }

    @Test func `is on the network for a token with the scope, which the command presents`() async throws {
        let workspace = try Workspace()
        let script = Programs.repository.appending(path: "certs/make-development").path(percentEncoded: false)
        let made = try await RunningProcess(script, ["certificates"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = """
              - name: admins
                issuer: github
                match: {repository_id: "123456"}
                grant: {scope: [daypass:issuers], ttl: 10m}

            """
        let port = try Workspace.freePort()
        let tls = "{certificate: certificates/server.pem, key: certificates/server.key}"
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace) + rules,
            admin: "{socket: run/admin.sock, listen: \"127.0.0.1:\(port)\", tls: \(tls)}")
        try await waitUntil("the network listener is there") { Workspace.isListening(port) }
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        let proof = try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))
        let exchanged = try await broker.exchange(proof, ["scope": "daypass:issuers"])
        let token = try #require(exchanged.text("access_token"), "\(exchanged.body)")

        let environment = [
            "DAYPASS_ADMIN_URL": "https://localhost:\(port)", "DAYPASS_TOKEN": token,
            "DAYPASS_CA_FILE": workspace.path("certificates/bundle.pem"),
        ]
        let list = try await AdministeredBroker.daypass(["issuers", "list"], environment)
        #expect(list.status == 0 && list.output.contains("github"), "\(list.error)")
        let keys = try await AdministeredBroker.daypass(["keys", "list"], environment)
        #expect(keys.status == 77 && keys.error == "daypass: the token needs the scope daypass:keys\n", "\(keys.error)")
        let bad = try await AdministeredBroker.daypass(
            ["issuers", "list"], environment.merging(["DAYPASS_TOKEN": "\(token)x"]) { $1 })
        #expect(bad.status == 77 && bad.error == "daypass: the token is not acceptable\n", "\(bad.error)")
        // A server that nobody vouches for gets no token.
        let untrusted = try await AdministeredBroker.daypass(
            ["issuers", "list"], environment.filter { $0.key != "DAYPASS_CA_FILE" })
        #expect(
            untrusted.status == 69 && untrusted.error.contains("none of the authorities vouches for it"),
            "\(untrusted.error)")
        try workspace.write("none.pem", "no certificate")
        for (changes, status, words) in [
            (["DAYPASS_CA_FILE": "/nonexistent.pem"], 2, "/nonexistent.pem: No such file or directory"),
            (["DAYPASS_CA_FILE": workspace.path("none.pem")], 2, "it holds no certificate in PEM"),
            (["DAYPASS_ADMIN_URL": "http://localhost:\(port)"], 69, "closed without an answer; it may want https"),
            (["DAYPASS_ADMIN_URL": broker.origin.replacing("http:", with: "https:")], 69, "does not speak TLS"),
            (["DAYPASS_ADMIN_URL": broker.origin], 1, "answers 404: it has to be the address of server.admin.listen"),
            (["DAYPASS_ADMIN_URL": "https://localhost:\(try Workspace.freePort())"], 69, "Connection refused"),
        ] as [([String: String], Int32, String)] {
            let outcome = try await AdministeredBroker.daypass(
                ["issuers", "list"], environment.merging(changes) { $1 })
            #expect(outcome.status == status && outcome.error.contains(words), "\(changes): \(outcome)")
            #expect(!outcome.error.contains(token))
        }
    }
}
