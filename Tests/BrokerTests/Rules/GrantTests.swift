import Broker
import JOSE
import Testing

@Suite struct GrantTests {
    private func grant() async throws -> Grant {
        let terms = try Fixture.terms(
            scope: ["a:read", "a:write", "b"], audiences: ["https://one.example", "https://two.example"])
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["alice"])], terms: terms))
        return try #require(rules.match(try await Fixture.subject(), naming: nil).grant)
    }

    private func scopes(_ texts: String...) throws -> [Scope] {
        try texts.map { try #require(Scope(parsing: $0)) }
    }

    @Test func `asking for nothing grants everything, for the first audience`() async throws {
        let grant = try await grant().narrowed(toScope: nil, targets: [])
        #expect(grant.scope.map(\.text) == ["a:read", "a:write", "b"])
        #expect(grant.audience == "https://one.example")
    }

    @Test func `a narrower scope keeps the order of the grant and only what was asked for`() async throws {
        let grant = try await grant().narrowed(toScope: scopes("b", "a:read"), targets: ["https://two.example"])
        #expect(grant.scope.map(\.text) == ["a:read", "b"])
        #expect(grant.audience == "https://two.example")
    }

    @Test(arguments: [["c"], ["a:read", "c"], ["a"], ["A:read"], ["a:*"], []])
    func `more scope than is granted, or none at all, is refused`(asked: [String]) async throws {
        let grant = try await grant()
        let asked = try asked.map { try #require(Scope(parsing: $0)) }
        #expect(throws: Grant.NarrowingFailure.scope) { try grant.narrowed(toScope: asked, targets: []) }
    }

    @Test(
        arguments: [
            ["https://three.example"], ["https://one.example/"], ["https://ONE.example"], [""],
            ["https://one.example", "https://two.example"], ["https://one.example", "https://three.example"],
        ] as [[ExactString]])
    func `an audience beside the grant's, or two of them, is refused`(targets: [ExactString]) async throws {
        let grant = try await grant()
        #expect(throws: Grant.NarrowingFailure.target) { try grant.narrowed(toScope: nil, targets: targets) }
    }

    @Test func `the same audience named twice is one audience`() async throws {
        let grant = try await grant().narrowed(toScope: nil, targets: ["https://two.example", "https://two.example"])
        #expect(grant.audience == "https://two.example")
    }

    @Test(
        arguments: [
            ([], 900, nil, nil, 1), (["a", "a"], 900, nil, nil, 1), (["a"], 0, nil, nil, 1), (["a"], -5, nil, nil, 1),
            (["a"], 900, 899, nil, 1), (["a"], 86401, nil, nil, 1), (["a"], 900, 86401, nil, 1),
            (["a"], 900, nil, [], 1),
            (["a"], 900, nil, nil, 0),
            ((0...64).map { "scope\($0)" }, 900, nil, nil, 1),
            (["a"], 900, nil, (0..<9).map { "\($0)" + String(repeating: "m", count: 500) }, 1),
        ] as [([String], Int, Int?, [String]?, Int)])
    func `terms that no token could carry out are no terms`(
        scope: [String], ttl: Int, session: Int?, models: [String]?, audiences: Int
    ) throws {
        let terms = GrantTerms(
            scope: try scope.map { try #require(Scope(parsing: $0)) }, timeToLive: .seconds(ttl),
            maximumSession: session.map { .seconds($0) }, models: try models?.map { try Glob(parsing: $0) },
            audiences: Array(repeating: Fixture.gateway, count: audiences))
        #expect(terms == nil)
    }

    @Test func `a session lasts as long as its token unless it says otherwise`() throws {
        #expect(try Fixture.terms(timeToLive: .seconds(900)).maximumSession == .seconds(900))
        #expect(
            try Fixture.terms(timeToLive: .seconds(900), maximumSession: .seconds(86400)).maximumSession
                == .seconds(86400))
    }

    @Test(arguments: [
        "", " ", "a b", "a\"b", #"a\b"#, "a\n", "caf\u{E9}", "a\u{7F}", String(repeating: "a", count: 129),
    ])
    func `text that RFC 6749 does not allow is no scope`(text: String) {
        #expect(Scope(parsing: text) == nil)
    }

    @Test(
        arguments: [
            ("a b", ["a", "b"]), ("a  b ", ["a", "b"]), ("b a b", ["b", "a"]), ("", []), ("a\tb", nil),
            ("a \u{301}b", nil),
            ("a\u{A0}b", nil),
        ] as [(String, [String]?)])
    func `a scope parameter is a list of scopes, each once`(text: String, scopes: [String]?) {
        #expect(Scope.list(parsing: text)?.map(\.text.string) == scopes)
    }

    @Test func `a list holds at most 64 scopes`() {
        let texts = (0..<65).map { "s\($0)" }
        #expect(Scope.list(parsing: texts.dropLast().joined(separator: " "))?.count == 64)
        #expect(Scope.list(parsing: texts.joined(separator: " ")) == nil)
        #expect(
            Scope.list(parsing: Array(repeating: "s", count: 65).joined(separator: " ")) == nil, "repeated ones, too")
    }
}
