import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Recorded exchanges against rules that are not in force.
@Suite struct RuleReplayTests {
    /// An exchange on the record, granted by `rule` or refused.
    private static func event(
        _ subject: String, granted rule: ExactString? = nil, scope: JSONValue = ["s:one"],
        claims: JSONObject = [:], more: JSONObject = [:], reason: String = "no_rule", session: ExactString? = nil,
        at seconds: Double = 0.25
    ) throws -> AuditEvent {
        let issuer = try Fixture.name()
        let details: JSONObject = [
            "claims": .object(JSONObject(["sub": .string(ExactString(subject))]).merging(claims)),
            "scope": scope, "audience": .string(Fixture.gateway),
        ]
        return AuditEvent(
            time: Fixture.now.addingTimeInterval(seconds), trace: TraceID(),
            kind: rule == nil ? .exchangeRefused : .exchangeGranted, issuer: issuer,
            subject: ExactString("corp:\(subject)"), rule: rule, sessionID: session, reason: rule == nil ? reason : nil,
            details: details.merging(more))
    }

    private static func rule(
        _ name: String, _ match: [(String, [String])], scope: [String] = ["s:one"], ttl: Duration = .seconds(900)
    ) throws -> Rule {
        try Fixture.rule(name, texts: match, terms: Fixture.terms(scope: scope, timeToLive: ttl))
    }

    private static func replay(_ events: [AuditEvent], _ next: RuleSet, inForce: RuleSet) -> RuleReplay {
        var replay = RuleReplay(next, inForce: inForce)
        for event in events { replay.examine(event) }
        return replay
    }

    @Test func `tells who gains, who loses, whose grant changes, and who stays`() throws {
        let inForce = try Fixture.rules(
            Self.rule("ada", [("sub", ["ada"])]), Self.rule("bob", [("sub", ["bob"])]),
            Self.rule("eve", [("sub", ["eve"])]))
        let next = try Fixture.rules(
            Self.rule("ada", [("sub", ["ada"])]), Self.rule("bob", [("sub", ["bob"])], scope: ["s:two"]),
            Self.rule("dan", [("sub", ["dan"])]))
        let last = try Self.event("dan", at: 60)
        let replay = Self.replay(
            [
                try Self.event("ada", granted: "ada"), try Self.event("bob", granted: "bob"),
                try Self.event("eve", granted: "eve"), try Self.event("eve", granted: "eve"), try Self.event("dan"),
                last, try Self.event("zoe"), Sample.keyEvent(.keyRotated),
                try Self.event("eve", reason: "replayed"),
            ], next, inForce: inForce)
        #expect(replay.counts.examined == 9 && replay.counts.unchanged == 2 && replay.counts.otherwise == 2)
        #expect(replay.counts.byChange == [.gains: 2, .loses: 2, .changes: 1])
        let groups = Dictionary(uniqueKeysWithValues: replay.all.map { ($0.key.subject, $0) })
        #expect(groups.count == 3)
        let gains = try #require(groups["corp:dan"])
        #expect(gains.key.change == .gains && gains.key.after == "dan" && gains.key.before == nil)
        #expect(gains.count == 2 && gains.last == last.time && gains.trace == last.trace)
        #expect(gains.key.reason == .noRule && gains.key.gainedScope.map(\.text) == ["s:one"])
        let loses = try #require(groups["corp:eve"])
        #expect(loses.key.change == .loses && loses.key.before == "eve" && loses.count == 2)
        #expect(loses.key.lostScope.map(\.text) == ["s:one"] && loses.key.reason == .noRule)
        let changes = try #require(groups["corp:bob"])
        #expect(changes.key.change == .changes && changes.key.differs == ["scope"])
        #expect(changes.key.gainedScope.map(\.text) == ["s:two"] && changes.key.lostScope.map(\.text) == ["s:one"])
        #expect(replay.all.allSatisfy { !$0.key.isInForce })
    }

    @Test func `cannot tell where a new rule reads a claim that was not kept, and names the claim`() throws {
        let inForce = try Fixture.rules(Self.rule("ada", [("sub", ["ada"])]))
        let next = try Fixture.rules(Self.rule("ada", [("sub", ["ada"]), ("team", ["a"])]))
        let replay = Self.replay(
            [
                try Self.event("ada", granted: "ada"),
                try Self.event("ada", granted: "ada", more: ["absent": ["team"]]),
                try Self.event("ada", granted: "ada", claims: ["team": "a"]), try Self.event("bob"),
            ], next, inForce: inForce)
        #expect(replay.counts.byChange == [.unknown: 1, .loses: 1])
        #expect(replay.counts.unchanged == 2)
        let unknown = try #require(replay.all.first { $0.key.change == .unknown })
        #expect(unknown.key.claims == ["team"] && unknown.key.before == "ada" && unknown.key.after == "ada")
    }

    @Test func `says where the rules in force do the same already`() throws {
        let (ada, bob) = (try Self.rule("ada", [("sub", ["ada"])]), try Self.rule("bob", [("sub", ["bob"])]))
        let events = [try Self.event("ada"), try Self.event("bob")]
        let replay = Self.replay(events, try Fixture.rules(ada, bob), inForce: try Fixture.rules(ada))
        let gains = Dictionary(uniqueKeysWithValues: replay.all.map { ($0.key.subject, $0.key.isInForce) })
        #expect(gains == ["corp:ada": true, "corp:bob": false])
    }

    @Test func `a grant changes by another lifetime, models, and a certificate too`() throws {
        let old = try Self.rule("ada", [("sub", ["ada"])])
        let terms: [(GrantTerms, [String])] = [
            (try Fixture.terms(scope: ["s:one"], timeToLive: .seconds(60)), ["ttl", "max_session"]),
            (try Fixture.terms(scope: ["s:one"], maximumSession: .seconds(7200)), ["max_session"]),
            (try Fixture.terms(scope: ["s:one"], models: ["m-*"]), ["models"]),
            (try Fixture.terms(scope: ["s:one"], audiences: ["other"]), ["audience"]),
        ]
        for (terms, differs) in terms {
            let next = try Fixture.rules(Fixture.rule("ada", texts: [("sub", ["ada"])], terms: terms))
            let replay = Self.replay([try Self.event("ada", granted: "ada")], next, inForce: try Fixture.rules(old))
            #expect(replay.all.map(\.key.differs) == [differs])
        }
        let renamed = try Fixture.rules(Self.rule("other", [("sub", ["ada"])]))
        let replay = Self.replay([try Self.event("ada", granted: "ada")], renamed, inForce: try Fixture.rules(old))
        #expect(replay.all.map(\.key.differs) == [["rule"]])

        let scope = try Fixture.scopes(["s:one"])
        let bound = try #require(
            GrantTerms(
                scope: scope, timeToLive: .seconds(900), audiences: [Fixture.gateway], bindsCertificate: true))
        let binding = try Fixture.rules(Fixture.rule("ada", texts: [("sub", ["ada"])], terms: bound))
        let events = [
            try Self.event("ada", granted: "ada"),
            try Self.event("ada", granted: "ada", more: ["certificate": ["x5t#S256": "t"]]),
        ]
        let lost = Self.replay(events, binding, inForce: try Fixture.rules(old))
        #expect(lost.counts.byChange == [.loses: 1, .changes: 1])
        #expect(lost.all.first { $0.key.change == .loses }?.key.reason == .certificate)
        #expect(lost.all.first { $0.key.change == .changes }?.key.differs == ["bind"])
        // Who was refused for want of one gains, although a certificate was there that did not count.
        let refused = try Self.event("ada", more: ["certificate": ["x5t#S256": "t"]], reason: "certificate")
        #expect(Self.replay([refused], binding, inForce: binding).counts.otherwise == 1)
        let named = AuditEvent(
            time: refused.time, trace: refused.trace, kind: refused.kind, issuer: refused.issuer,
            subject: refused.subject, rule: "ada", reason: refused.reason, details: refused.details)
        #expect(Self.replay([named], binding, inForce: binding).counts.unchanged == 1)
        #expect(Self.replay([named], try Fixture.rules(old), inForce: binding).counts.byChange == [.gains: 1])
    }

    @Test func `what nobody knows of a grant any more is not taken for the same`() throws {
        let (old, other) = (try Self.rule("ada", [("sub", ["ada"])]), try Self.rule("x", [("sub", ["x"])]))
        func expiring(in seconds: Double) throws -> AuditEvent {
            let expiry = Fixture.now.timeIntervalSince1970.rounded(.down) + seconds
            return try Self.event("ada", granted: "ada", more: ["expires": .number(expiry)])
        }
        // The lifetime then, whether the rule of then is in force, and what is said of the new rule, of 900 s.
        let rows: [(Double, Bool, [String], [String])] = [
            (900, true, [], []), (300, true, [], ["ttl"]), (1800, true, ["ttl"], []),
            (900, false, [], ["max_session", "models", "bind"]),
            (1800, false, ["ttl"], ["max_session", "models", "bind"]),
            (300, false, [], ["ttl", "max_session", "models", "bind"]),
        ]
        for (lifetime, isThere, differs, unknown) in rows {
            let replay = Self.replay(
                [try expiring(in: lifetime)], try Fixture.rules(old),
                inForce: try Fixture.rules(isThere ? old : other))
            #expect(replay.all.map(\.key.differs) == (differs + unknown == [] ? [] : [differs]), "\(lifetime)")
            #expect(replay.all.map(\.key.unknownTerms) == (differs + unknown == [] ? [] : [unknown]), "\(lifetime)")
            #expect(replay.counts.unchanged == (differs + unknown == [] ? 1 : 0))
        }
    }

    /// The lifetime on the record, how long the session had lasted, and the `ttl` and `max_session` in force; what is said of
    /// a new rule of 900 s and 3600 s.
    @Test(
        arguments: [
            // The first token of a session tells its rule's ttl, whatever was reloaded since.
            (900, 0, 900, 3600, [], []), (300, 0, 900, 3600, ["ttl"], []), (1800, 0, 900, 3600, ["ttl"], []),
            (900, 0, 300, 3600, [], []), (300, 0, 300, 3600, ["ttl"], []), (899, 0, 900, 3600, ["ttl"], []),
            // A later one may have ended with its session, which explains it where the session is as long as that.
            (900, 60, 900, 3600, [], []), (1800, 60, 900, 3600, ["ttl"], []), (600, 3000, 900, 3600, [], []),
            (600, 3000, 300, 3600, ["ttl"], []), (600, 2000, 900, 3600, [], ["ttl"]),
            (300, 600, 900, 900, ["max_session"], []), (300, 600, 600, 900, ["ttl", "max_session"], []),
            // What does not begin with a moment at which the session can have begun says nothing.
            (600, 86_401, 900, 3600, [], ["ttl"]), (600, -2, 900, 3600, [], ["ttl"]), (900, -2, 900, 3600, [], []),
        ] as [(Double, Double, Int, Int, [String], [String])])
    func `a ttl that was changed since the record was made is not taken for the same`(
        lifetime: Double, age: Double, ttl: Int, maximum: Int, differs: [String], unknown: [String]
    ) throws {
        let time = Fixture.now.addingTimeInterval(0.25)
        let session = try SystemRandom().identifier(at: time.addingTimeInterval(-age))
        let expiry = time.timeIntervalSince1970.rounded(.down) + lifetime
        let event = try Self.event("ada", granted: "ada", more: ["expires": .number(expiry)], session: session)
        func rules(_ ttl: Int, _ maximum: Int) throws -> RuleSet {
            let terms = try Fixture.terms(
                scope: ["s:one"], timeToLive: .seconds(ttl), maximumSession: .seconds(maximum))
            return try Fixture.rules(Fixture.rule("ada", texts: [("sub", ["ada"])], terms: terms))
        }
        let replay = Self.replay([event], try rules(900, 3600), inForce: try rules(ttl, maximum))
        let isSame = differs.isEmpty && unknown.isEmpty
        #expect(replay.all.map(\.key.differs) == (isSame ? [] : [differs]))
        #expect(replay.all.map(\.key.unknownTerms) == (isSame ? [] : [unknown]))
    }

    /// A record's time is rounded to the next millisecond, a token is issued in the second before.
    @Test(arguments: [0.9994, 0.9996, 0.0004, 0])
    func `at the turn of a second a lifetime is not taken for another one`(fraction: Double) throws {
        let time = Fixture.now.addingTimeInterval(fraction)
        let expiry = time.timeIntervalSince1970.rounded(.down) + 900
        let recorded = Date(timeIntervalSince1970: Double(time.auditMilliseconds) / 1000)
        let rules = try Fixture.rules(Self.rule("ada", [("sub", ["ada"])]))
        for age in [0.0, 60] {
            let session = try SystemRandom().identifier(at: time.addingTimeInterval(-age))
            let event = try Self.event(
                "ada", granted: "ada", more: ["expires": .number(expiry)], session: session,
                at: recorded.timeIntervalSince(Fixture.now))
            #expect(Self.replay([event], rules, inForce: rules).counts.unchanged == 1)
        }
    }

    @Test func `groups are bounded by number and by text, and every exchange is counted`() throws {
        let (inForce, next) = (
            try Fixture.rules(Self.rule("no", [("sub", ["nobody"])])),
            try Fixture.rules(Self.rule("all", [("sub", ["*"])]))
        )
        var (few, short) = (RuleReplay.Bounds(), RuleReplay.Bounds())
        (few.groups, short.text) = (10, 100)
        for (bounds, groups) in [(few, 10), (short, 6)] {
            var replay = RuleReplay(next, inForce: inForce, bounds: bounds)
            for number in 0..<50 { replay.examine(try Self.event("u\(10 + number)")) }
            replay.examine(try Self.event("u10"))
            #expect(replay.all.count == groups)
            #expect(replay.counts.byChange == [.gains: 51])
            #expect(replay.counts.ungrouped == 50 - groups)
            #expect(replay.all.first?.key.subject == "corp:u10" && replay.all.first?.count == 2)
        }
    }

    @Test func `a workload of a trust domain is told by its SPIFFE ID`() throws {
        let domain = try #require(IssuerName(recorded: "spiffe://prod.example.com"))
        let trustDomain = try #require(domain.trustDomain)
        func rules(_ pattern: String) throws -> RuleSet {
            let (matcher, terms) = (try Fixture.matcher("spiffe_id", [pattern]), try Fixture.terms(scope: ["s:one"]))
            let rule = try #require(Rule(name: "w", issuer: domain, matchers: [matcher], terms: terms))
            return try RuleSet([rule], issuers: [], trustDomains: [trustDomain], broker: Fixture.broker)
        }
        let event = AuditEvent(
            time: Fixture.now, trace: TraceID(), kind: .exchangeRefused, issuer: domain,
            subject: "spiffe://prod.example.com/ns/a", reason: "no_rule", details: ["claims": [:]])
        let none = try rules("spiffe://prod.example.com/ns/b")
        let replay = Self.replay([event], try rules("spiffe://prod.example.com/ns/*"), inForce: none)
        #expect(replay.counts.byChange == [.gains: 1])
        #expect(Self.replay([event], none, inForce: none).counts.unchanged == 1)
    }
}

extension JSONObject {
    fileprivate init(_ members: JSONObject) { self = members }
}
