import Broker
import BrokerConfigurationYAML
import Testing

@Suite struct `Lint of rules that are never reached` {
    /// The names of the rules that are said to be shadowed, of rules with these `match`es: r0, r1, …
    private func shadowed(_ matches: [String], more: [Int: String] = [:]) throws -> [String] {
        let rules = matches.enumerated().map { index, match in
            "  - {name: r\(index), issuer: corp, match: {\(match)}, \(more[index] ?? "")grant: {scope: [a]}}"
        }
        let lines = [10: rules.joined(separator: "\n"), 11: "", 12: "", 13: ""]
        return try SampleConfiguration.read(lines).notes.map(\.text).filter { $0.contains("only used by callers") }
    }

    @Test(
        arguments: [
            ["sub: a", "sub: a"], ["sub: a", "sub: a, ref: x"], ["sub: \"a*\"", "sub: ab"],
            ["sub: \"a*\"", "sub: [ab, \"ac*\"]"], ["sub: [a, b]", "sub: [b, a], ref: x"], ["sub: [a, b]", "sub: b"],
            ["/sub: a", "sub: a"], ["admin: true", "sub: a, admin: true"], ["n: 1", "n: 1"],
            ["\"x\": \"a/**\"", "x: \"a/*/c\""], ["groups: [a, \"b*\"]", "sub: x, groups: b1"],
            ["sub: a, ref: \"refs/*/*\"", "ref: refs/heads/main, sub: a"],
        ])
    func `one that matches no more than an earlier one is warned about`(matches: [String]) throws {
        let found = try shadowed(matches)
        #expect(
            found == [
                "rule r1 is only used by callers that name it: rule r0 at config/daypass.yaml:10:12 comes before it and "
                    + "matches whatever it matches; put it first, or take it out"
            ])
    }

    @Test(
        arguments: [
            ["sub: a", "sub: b"], ["sub: a, ref: x", "sub: a"], ["sub: ab", "sub: \"a*\""], ["sub: a", "sub: [a, b]"],
            ["sub: \"a*\"", "sub: a/b"], ["admin: true", "admin: \"true\""], ["n: 1", "n: \"1\""],
            ["sub: a", "ref: a"], ["sub: a", "ref: x"], ["x: a", "/x/y: a"], ["sub: \"*\"", "admin: true"],
            ["sub: [a, b], ref: x", "sub: a, ref: w"],
        ])
    func `one that matches something of its own is not`(matches: [String]) throws {
        #expect(try shadowed(matches) == [])
    }

    @Test(
        arguments: [
            (["a", "daypass:admin"], false), (["daypass:admin", "a"], false),
            (["daypass:admin", "daypass:admin"], true),
            (["daypass:admin", "daypass:introspect"], false),
            (["daypass:admin", "daypass:admin, daypass:introspect"], false),
            (["daypass:admin, daypass:introspect", "daypass:introspect"], true),
        ])
    func `order chooses among the broker's own scopes only for one that both rules have`(
        scopes: [String], isShadowed: Bool
    ) throws {
        let rules = scopes.enumerated().map { index, scope in
            "  - {name: r\(index), issuer: corp, match: {sub: a}, grant: {scope: [\(scope)]}}"
        }
        let notes = try SampleConfiguration.read([10: rules.joined(separator: "\n"), 11: "", 12: "", 13: ""]).notes
        #expect(notes.contains { $0.text.contains("only used by callers") } == isShadowed)
    }

    @Test func `every later rule is told, with the one that is in its way`() throws {
        let found = try shadowed(["sub: a", "sub: b", "sub: b, ref: x", "sub: a", "sub: c"])
        #expect(found.map { $0.prefix(8) } == ["rule r2 ", "rule r3 "])
        #expect(found[0].contains("rule r1 at"))
        #expect(found[1].contains("rule r0 at"))
    }

    @Test func `rules of different issuers do not meet`() throws {
        let two = "    issuer: https://login.example.com\n  - {name: partner, issuer: \"https://partner.example.com\"}"
        let rules = ["corp", "partner"].map { "  - {name: \($0), issuer: \($0), match: {sub: a}, grant: {scope: [a]}}" }
        let lines = [8: two, 10: rules.joined(separator: "\n"), 11: "", 12: "", 13: ""]
        #expect(try SampleConfiguration.read(lines).notes.isEmpty)
    }

    @Test func `ids keep an earlier rule from being in the way, and a later one is named anyway`() throws {
        let ids = "federation: {organization_id: o}, "
        #expect(try shadowed(["sub: a", "sub: a"], more: [0: ids]) == [])
        #expect(try shadowed(["sub: a", "sub: a"], more: [1: ids]) == [])
    }

    @Test func `thousands of rules of one owner are compared with bounded effort`() throws {
        let matches = (0..<4999).map { "owner: acme, ref: \"r\($0)-*x\"" } + ["owner: acme, ref: \"r0-*x\", env: p"]
        #expect(try shadowed(matches).count <= 1)
        #expect(try shadowed(Array(matches.prefix(50)) + matches.suffix(1)).count == 1)
    }
}
