import Foundation
import Testing

@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)), .enabled(if: Programs.python != nil, "python3 is not installed"))
struct `A developer who signs in` {
    @Test func `is shown the page and the code, and then has tokens without more ado`() async throws {
        let stage = try await SignInStage(#"{"polls": ["pending", "busy", "approved"]}"#)
        let login = try await stage.daypass(["login"])
        #expect(login.status == 0, "\(login)")
        #expect(login.output == "signed in at \(stage.origin) as ada@example.com\n")
        #expect(login.error.contains("    \(stage.origin)/device\n") && login.error.contains("    BCDF-GHJK\n"))
        // Who follows a link that has the code in it has not compared it.
        #expect(!login.error.contains("?code=") && !login.error.contains("page in your browser"))
        let first = try await stage.daypass(["token"])
        #expect(first.status == 0 && first.error == "", "\(first)")
        #expect(first.output == "session-1.token-2\n")
        #expect(try await stage.daypass(["token"]).output == first.output)

        let asked = try stage.requests
        let device = try #require(asked.first)
        #expect(device["path"] == "/oauth/device_authorization" && device["surface"] == "daypass")
        #expect(device["device_name"]?.isEmpty == false && device["scope"] == nil)
        #expect(
            asked.map { $0["grant_type"]?.split(separator: ":").last } == [
                nil, "device_code", "device_code", "device_code", "refresh_token",
            ])
        let file = try #require(stage.kept)
        let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        for secret in ["refresh-", "device-1", "token-1"] {
            #expect(!(login.output + login.error).contains(secret), "\(secret)")
        }
    }

    @Test(arguments: [
        (#"{"polls": ["pending", "denied"]}"#, 77, "denied (http"),
        (#"{"polls": ["expired"]}"#, 77, "daypass login"),
        (#"{"polls": ["pending"], "asked": {"expires_in": 3}}"#, 77, "nobody has approved in time"),
        (#"{"polls": ["pending", "unknown"]}"#, 77, "does not know the code any more"),
        (#"{"polls": ["foreign"]}"#, 1, "it is no broker"), (#"{"granted": {"refresh_token": null}}"#, 1, "refresh"),
        (#"{"granted": {"refresh_token": "a b"}}"#, 1, "no token"), (#"{"granted": {"expires_in": 0}}"#, 1, "ended"),
        (#"{"asked": {"verification_uri": "javascript:alert(1)"}}"#, 1, "the answer is none"),
        (#"{"polls": ["broken"], "asked": {"expires_in": 4}}"#, 69, "answers 500"),
        (#"{"polls": ["closed"], "asked": {"expires_in": 4}}"#, 69, "closed without an answer"),
    ])
    func `is not signed in where that fails, and is told why`(script: String, status: Int, words: String) async throws {
        let stage = try await SignInStage(script)
        let login = try await stage.daypass(["login"])
        #expect(login.status == status && login.output == "" && login.error.contains(words), "\(login)")
        #expect(stage.kept == nil)
        let token = try await stage.daypass(["token"])
        #expect(token.status == 77 && token.output == "" && token.error.contains("daypass login"), "\(token)")
    }

    @Test func `keeps the earlier sign-in where the next one fails, and ends it where that comes about`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        let first = try await stage.daypass(["token"])
        try stage.script(#"{"polls": ["denied"]}"#)
        #expect(try await stage.daypass(["login"]).status == 77)
        #expect(try await stage.daypass(["token"]).output == first.output)
        try stage.script("{}")
        try await stage.login()
        #expect(try stage.requests.last?["path"] == "/oauth/revoke")
        // Nothing that the first session has got is given out in the second.
        #expect(try await stage.daypass(["token"]).output.hasPrefix("session-3."))
    }

    @Test func `is told where an earlier session may last on that others may have read`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        let file = try #require(stage.kept)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
        let again = try await stage.daypass(["login"])
        #expect(
            again.status == 0 && again.error.contains("could not be ended: end it at \(stage.origin)/sessions"),
            "\(again)")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
        let logout = try await stage.daypass(["logout"])
        #expect(logout.status == 1 && logout.error.contains("on this machine alone"), "\(logout)")
        #expect(stage.kept == nil)
        let homeless = try await stage.daypass(["token", "--identity", "login"], ["HOME": String?.none])
        #expect(homeless.status == 2 && homeless.error.contains("neither XDG_STATE_HOME nor HOME"), "\(homeless)")
    }

    @Test func `is told that the session has ended, with 77, each time until the next sign-in`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        #expect(try await stage.daypass(["token"]).status == 0)
        try stage.script(#"{"refresh": "ended"}"#)
        // The kept token lasts yet, and is not given out any more.
        let ended = try await stage.daypass(SignInStage.anew)
        #expect(ended.status == 77 && ended.output == "", "\(ended)")
        #expect(ended.error.contains("the session at \(stage.origin) has ended; sign in again with `daypass login`"))
        #expect(ended.error.contains("trace") && ended.error.split(separator: "\n").count == 1)
        for arguments in [["token"], ["whoami"], ["exec", "--base-url", stage.origin, "--", "true"]] {
            let outcome = try await stage.daypass(arguments)
            #expect(outcome.status == 77 && outcome.error.contains("daypass login"), "\(outcome)")
        }
        try stage.script("{}")
        try await stage.login()
        #expect(try await stage.daypass(["token"]).status == 0)
    }

    @Test(arguments: ["busy", "closed"])
    func `is signed in yet where the broker does not answer`(answer: String) async throws {
        let stage = try await SignInStage()
        try await stage.login()
        try stage.script(#"{"refresh": "\#(answer)"}"#)
        let none = try await stage.daypass(["token"])
        #expect(none.status == 69 && none.output == "", "\(none)")
        try stage.script("{}")
        let token = try await stage.daypass(["token"])
        #expect(token.status == 0)
        // What there is lasts for less than was asked for: a warning, and not nothing.
        try stage.script(#"{"refresh": "\#(answer)"}"#)
        let kept = try await stage.daypass(SignInStage.anew)
        #expect(kept.status == 0 && kept.output == token.output && kept.error.contains("is not renewed"), "\(kept)")
    }

    @Test func `is signed in yet after an answer that was lost`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        try stage.script(#"{"refresh": "lost"}"#)
        #expect(try await stage.daypass(["token"]).status == 69)
        try stage.script("{}")
        #expect(try await stage.daypass(SignInStage.anew).status == 0)
        #expect(try await stage.daypass(SignInStage.anew).status == 0)
    }

    @Test func `is one to the broker, however many ask at once`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        try stage.script(#"{"refresh": "alone"}"#)
        let all = try (0..<20).map { try stage.start(["token", "--scope", "scope-\($0 % 10)"]) }
        var printed = [Set<String>](repeating: [], count: 10)
        for (index, process) in all.enumerated() {
            let outcome = try await process.outcome()
            #expect(outcome.status == 0, "\(outcome)")
            printed[index % 10].insert(outcome.output)
        }
        #expect(printed.allSatisfy { $0.count == 1 } && Set(printed).count == 10, "\(printed)")
        #expect(try stage.refreshes == 10)
        #expect(try await stage.daypass(SignInStage.anew).status == 0)
    }

    @Test func `is not asked for in a CI job, whose code is others', unless the job names it`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        let job: [String: String?] = ["CI": "true", "TMPDIR": stage.workspace.path("")]
        let none = try await stage.daypass(["token"], job)
        #expect(none.status == 77 && none.output == "" && none.error.contains("--identity login"), "\(none)")
        #expect(try await stage.daypass(["token", "--identity", "login"], job).status == 0)
        let rule = try await stage.daypass(["token", "--rule", "developers"])
        #expect(rule.status == 2 && rule.error.contains("leave --rule out"), "\(rule)")
    }
}
