import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What administrators are told of rules.
@Suite struct LiveRulesTests {
    /// Holds whoever comes until it is opened.
    private final class Barrier: Sendable {
        private let (arrivals, arrival) = AsyncStream<Void>.makeStream()
        private let (openings, opening) = AsyncStream<Void>.makeStream()

        func wait() async {
            arrival.yield()
            for await _ in openings {}
        }

        func arrived() async {
            for await _ in arrivals { return }
        }

        func open() { opening.finish() }
    }

    /// Reads a document of one line for each rule, `name pattern`, of the issuer `corp`, and behind them the claim where it
    /// is not `sub`; waits where it is told to.
    private struct LineReader: RuleDocumentReader {
        var barrier: Barrier?

        func rules(
            in documents: [AdministrationAPI.RuleDocument], under configuration: BrokerConfiguration
        ) async throws(AdministrationFailure) -> (rules: RuleSet, warnings: [String]) {
            await barrier?.wait()
            do {
                let rules = try documents.flatMap { document in
                    try document.text.string.split(separator: "\n").map { line in
                        let words = line.split(separator: " ").map(String.init)
                        return try Fixture.rule(words[0], texts: [(words.count > 2 ? words[2] : "sub", [words[1]])])
                    }
                }
                return (try RuleSet(rules, issuers: configuration.issuers, broker: Fixture.broker), ["a warning"])
            } catch {
                throw .invalid("\(error)")
            }
        }
    }

    private static func configuration(_ rules: [Rule], issuers: [IssuerConfiguration]? = nil) throws
        -> BrokerConfiguration
    {
        let issuers = try issuers ?? [Fixture.configuration(Fixture.quick)]
        let domain = try TestTrustDomain("prod.example.com").configuration()
        return BrokerConfiguration(
            server: ServerConfiguration(
                publicListener: ListenAddress(host: "127.0.0.1", port: 0), publicURL: "http://127.0.0.1:1",
                telemetryListener: ListenAddress(host: "127.0.0.1", port: 0)),
            tokens: TokenConfiguration(issuer: Fixture.broker, audiences: [Fixture.gateway]),
            verify: VerifyConfiguration(), store: .sqlite(path: "/none"), audit: AuditConfiguration(),
            masterKeyFile: "/none", issuers: issuers,
            trustDomains: [domain],
            rules: try RuleSet(rules, issuers: issuers, trustDomains: [domain.name], broker: Fixture.broker))
    }

    private static func live(
        _ rules: [Rule], issuers: [IssuerConfiguration]? = nil, store: MemoryStore = MemoryStore(),
        clock: any BrokerClock = ManualClock(), barrier: Barrier? = nil,
        aside: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void = { $0() },
        budget: Int = MatchingBudget.standard
    ) throws -> LiveRules {
        let configuration = try configuration(rules, issuers: issuers)
        return LiveRules(
            { configuration }, history: store, reader: LineReader(barrier: barrier), clock: clock, aside: aside,
            budget: budget)
    }

    private static func claims(_ more: JSONObject = [:]) throws -> JSONObject {
        try Fixture.quick.claims(at: Fixture.now).merging(more)
    }

    private static func test(
        _ live: LiveRules, _ order: AdministrationAPI.RuleTest
    ) async -> Result<AdministrationAPI.RuleTestResult, AdministrationFailure> {
        do throws(AdministrationFailure) {
            return .success(try await live.test(order))
        } catch {
            return .failure(error)
        }
    }

    @Test func `a test tells what would be granted, by the rules in force or others, and grants nothing`() async throws
    {
        let live = try Self.live([Fixture.rule("alices", texts: [("sub", ["alice"])])])
        var order = AdministrationAPI.RuleTest(claims: try Self.claims())
        let granted = try await live.test(order)
        #expect(granted.subject == "corp:alice" && granted.warnings == [])
        #expect(granted.json["granted"] == true && granted.json["rule"] == "alices")
        #expect(granted.json["ttl_seconds"] == 900 && granted.json["scope"] == ["anthropic:messages"])
        #expect(
            granted.json["rules"] == [
                [
                    "rule": "alices", "nearest": false,
                    "tests": [["claim": "sub", "wanted": ["alice"], "held": true, "got": "alice"]],
                ]
            ])
        #expect(granted.json["changes"] == nil)
        order.scope = try Fixture.scopes(["openai:responses"])
        #expect(try await live.test(order).answer == .refused(.scope))
        order.scope = nil
        order.rule = "bobs"
        let unknown = try await live.test(order)
        #expect(unknown.answer == .refused(.noRule) && unknown.attempts.isEmpty)
        #expect(unknown.warnings == ["no rule for corp is named bobs"])
        order.documents = [.init(name: "n", text: "all *\nbobs b*")]
        let other = try await live.test(order)
        #expect(other.answer == .refused(.noRule) && other.warnings == ["a warning"])
        #expect(
            other.json["rules"]?.array?.first == [
                "rule": "bobs", "nearest": true,
                "tests": [["claim": "sub", "wanted": ["b*"], "held": false, "got": "alice"]],
            ])
        #expect(
            other.json["changes"] == [["claim": "sub", "to": ["b*"], "or_rule": #""sub": ["b*","alice"]"#]])
        order.rule = nil
        guard case .granted(let grant) = try await live.test(order).answer else {
            Issue.record("refused")
            return
        }
        #expect(grant.rule == "all")
    }

    @Test func `a test and a replay warn of who is blocked, whatever the rules say`() async throws {
        let configuration = try Self.configuration([Fixture.rule("alices", texts: [("sub", ["alice"])])])
        let store = try await Self.filled(20)
        let clock = ManualClock()
        func live(_ target: Revocation.Target) -> LiveRules {
            let revocation = Revocation(
                sequence: 1, target: target, reason: nil, block: .init(until: nil), created: clock.now,
                caller: .daemon, expires: clock.now.addingTimeInterval(600))
            return LiveRules(
                { configuration }, history: store, reader: LineReader(barrier: nil), clock: clock,
                revocations: { RevocationSet([revocation]) })
        }
        let order = AdministrationAPI.RuleTest(claims: try Self.claims())
        for (target, words) in [
            (Revocation.Target.subject("corp:alice"), "subject corp:alice"), (.rule("alices"), "rule alices"),
            (.all, "everything"),
        ] {
            #expect(
                try await live(target).test(order).warnings == [
                    "\(words) is blocked: corp:alice would be refused all the same"
                ])
        }
        #expect(try await live(.subject("corp:bob")).test(order).warnings == [])
        let replay = AdministrationAPI.RuleReplayOrder([.init(name: "n", text: "all u*")], since: Fixture.now)
        #expect(
            try await live(.subject("corp:u1")).replay(replay).warnings == [
                "a warning", "subject corp:u1 is blocked: corp:u1 would be refused all the same",
            ])
        #expect(try await live(.subject("corp:bob")).replay(replay).warnings == ["a warning"])
        #expect(try await live(.all).replay(replay).warnings.count == 17)
    }

    @Test func `whose claims they are is told by iss, aud or the SPIFFE ID, or said`() async throws {
        let quick = try Fixture.quick
        let twins = [
            try Fixture.configuration(quick, name: "one", audience: "a1"),
            try Fixture.configuration(quick, name: "two", audience: "a2"),
            try Fixture.configuration(Fixture.otherIssuer, name: "other"),
        ]
        let live = try Self.live([], issuers: twins)
        func subject(_ claims: JSONObject, _ source: AdministrationAPI.RuleTest.Source? = nil) async -> String {
            var order = AdministrationAPI.RuleTest(claims: claims)
            order.source = source
            switch await Self.test(live, order) {
            case .success(let result): return "\(result.subject) \(result.warnings.count)"
            case .failure(.invalid(let words)): return words
            case .failure(let failure): return "\(failure)"
            }
        }
        let claims = try Self.claims()
        #expect(await subject(claims.merging(["aud": "a2"])) == "two:alice 0")
        #expect(await subject(claims.merging(["aud": ["x", "a1"]])) == "one:alice 0")
        #expect(
            await subject(claims.merging(["aud": ["a1", "a2"]])).hasPrefix(
                "by iss and aud the claims can be of any of one, two"))
        #expect(await subject(claims.merging(["aud": "a2"]), .issuer("one")) == "one:alice 1")
        #expect(await subject(claims.merging(["aud": "a1", "exp": 1_900_000_000]), .issuer("one")) == "one:alice 1")
        #expect(await subject(["sub": "alice"], .issuer("other")) == "other:alice 3")
        #expect(await subject(["iss": "x"], .issuer("other")).contains("no sub"))
        #expect(await subject(claims, .issuer("nobody")) == "no issuer that is configured is named nobody")
        #expect(await subject(claims.merging(["iss": "https://x"])).hasPrefix("iss of the claims is no issuer"))
        let id: JSONValue = "spiffe://prod.example.com/ns/a"
        #expect(await subject(["sub": id]) == "spiffe://prod.example.com/ns/a 0")
        #expect(await subject(["sub": id, "aud": "x"]) == "spiffe://prod.example.com/ns/a 1")
        #expect(
            await subject(["spiffe_id": id], .trustDomain("prod.example.com")) == "spiffe://prod.example.com/ns/a 0")
        for bad in ["spiffe://prod.example.com", "spiffe://dev.example.com/a", "alice"] as [JSONValue] {
            #expect(
                await subject(["sub": bad], .trustDomain("prod.example.com"))
                    == "sub of the claims has to be the SPIFFE ID of a workload of prod.example.com")
        }
        #expect(await subject(["sub": id], .trustDomain("dev.example.com")).hasPrefix("no trust domain"))
    }

    @Test func `what a token says by the name spiffe_id decides nothing`() async throws {
        let name = try #require(IssuerName(recorded: "spiffe://prod.example.com"))
        let (matcher, terms) = (
            try Fixture.matcher("spiffe_id", ["spiffe://prod.example.com/ns/a"]), try Fixture.terms()
        )
        let rule = try #require(Rule(name: "w", issuer: name, matchers: [matcher], terms: terms))
        let live = try Self.live([rule])
        let order = AdministrationAPI.RuleTest(
            claims: ["sub": "spiffe://prod.example.com/ns/b", "spiffe_id": "spiffe://prod.example.com/ns/a"])
        #expect(try await live.test(order).answer == .refused(.noRule))
    }

    @Test func `a claim of ten thousand and rules without end make a bounded answer`() async throws {
        var claims = try Self.claims()
        for number in 0..<10_000 { _ = claims.append(ExactString("c\(number)"), "\u{1B}[2K\u{202E}") }
        let long = JSONValue.string(ExactString(String(repeating: "g", count: 3000)))
        let values = (0..<200).map { "v\($0)" }
        let rules = try (0..<200).map { number in
            try Fixture.rule("r\(number)", texts: [("c\(number)", values), ("groups", ["x\(number)"])])
        }
        let live = try Self.live(rules)
        let result = try await live.test(.init(claims: claims.merging(["groups": long])))
        #expect(result.attempts.count == 50 && result.omittedRules == 150)
        let first = try #require(result.json["rules"]?.array?.first?.object?["tests"]?.array?.first?.object)
        #expect(first["wanted"]?.array?.count == 16 && first["omitted_wanted"] == 184)
        #expect(result.json.encoded().count < 64 * 1024)
    }

    /// Patterns and claims of which each comparison takes as many steps as there can be.
    private static let slow = (0..<400).map { "r\($0) **" + String(repeating: "a", count: 500) + "b team" }
        .joined(separator: "\n")
    private static let slowTeams = JSONValue.array(
        (0..<3).map { "\($0)" + String(repeating: "a", count: 4000) }.map { .string(ExactString($0)) })

    @Test func `a test that takes more work than it may is refused in words`() async throws {
        let store = try await Self.filled(1)
        // A hundredth of what it is for users, and of the time.
        let live = try Self.live([], store: store, budget: MatchingBudget.standard / 100)
        var order = AdministrationAPI.RuleTest(claims: try Self.claims(["team": Self.slowTeams]))
        order.documents = [.init(name: "n", text: ExactString(Self.slow))]
        await #expect(throws: AdministrationFailure.invalid("\(MatchingFailure.exhausted)")) {
            _ = try await live.test(order)
        }
        order.documents = [.init(name: "n", text: "all *")]
        _ = try await live.test(order)
    }

    @Test func `so many tests wait at once, and more are refused`() async throws {
        let (works, work) = AsyncStream<@Sendable () -> Void>.makeStream()
        let live = try Self.live([Fixture.rule("r", texts: [("sub", ["*"])])]) { work.yield($0) }
        let order = AdministrationAPI.RuleTest(claims: try Self.claims())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { _ = try await live.test(order) } }
            var waiting: [@Sendable () -> Void] = []
            for await next in works {
                waiting.append(next)
                if waiting.count == 8 { break }
            }
            await #expect(throws: AdministrationFailure.conflict("too many rules are being tried: try again")) {
                _ = try await live.test(order)
            }
            for run in waiting { run() }
            try await group.waitForAll()
        }
    }

    @Test func `a test that nobody waits for any more is not done`() async throws {
        let (works, work) = AsyncStream<@Sendable () -> Void>.makeStream()
        let live = try Self.live([Fixture.rule("r", texts: [("sub", ["*"])])]) { work.yield($0) }
        let order = AdministrationAPI.RuleTest(claims: try Self.claims())
        let asking = Task { await Self.test(live, order) }
        for await next in works {
            asking.cancel()
            next()
            break
        }
        guard case .failure(.unavailable(let words)) = await asking.value else {
            Issue.record("it was done")
            return
        }
        #expect(words == "\(MatchingFailure.cancelled)")
    }

    @Test func `lists the rules in force in their order, part by part`() async throws {
        let live = try Self.live((0..<5).map { try Fixture.rule("r\($0)", texts: [("sub", ["u\($0)"])]) })
        func names(_ cursor: ExactString?, _ limit: Int) async throws -> ([ExactString], ExactString?) {
            let request = try #require(AdministrationAPI.PageRequest(cursor: cursor, limit: limit))
            let page = try await live.rules(request)
            return (page.elements.map(\.rule.name), page.next)
        }
        let (first, next) = try await names(nil, 3)
        #expect(first == ["r0", "r1", "r2"] && next == "3")
        let (rest, end) = try await names(next, 3)
        #expect(rest == ["r3", "r4"] && end == nil)
        // One that a reload made point behind the end.
        #expect(try await names("99", 3).0 == [])
        for cursor in ["x", "-1", "00"] as [ExactString] {
            await #expect(throws: AdministrationFailure.invalid("the cursor is none of ours")) {
                _ = try await names(cursor, 3)
            }
        }
        let one = try #require(AdministrationAPI.PageRequest(limit: 1))
        let json = try await live.rules(one).elements[0].json
        #expect(json["match"] == [["claim": "sub", "wanted": ["u0"]]] && json["issuer"] == "corp")
    }

    @Test func `says in words who can get a scope, by which rule, and what to look at twice`() async throws {
        let shared = try Fixture.configuration(
            Fixture.otherIssuer, name: "hub", requiredClaims: ["repository_id", "owner_id"])
        let domain = try #require(IssuerName(recorded: "spiffe://prod.example.com"))
        let scope = try Fixture.scopes(["s:one"])
        let bound = try #require(
            GrantTerms(
                scope: scope, timeToLive: .seconds(60), audiences: [Fixture.gateway],
                bindsCertificate: true))
        let matcher = try Fixture.matcher("spiffe_id", ["spiffe://prod.example.com/**"])
        let workloads = try #require(Rule(name: "bound", issuer: domain, matchers: [matcher], terms: bound))
        let admin = try Fixture.terms(scope: ["daypass:admin"], audiences: [Fixture.broker])
        let rules = [
            try Fixture.rule(
                "pinned", issuer: "hub",
                match: [Fixture.matcher("repository_id", ["1"]), Fixture.matcher("ref", ["refs/tags/*", "main"])],
                terms: Fixture.terms(scope: ["s:one", "s:two"])),
            try Fixture.rule(
                "open", match: [Fixture.matcher("sub", ["**"]), Fixture.matcher("aud", ["x"])],
                terms: Fixture.terms(scope: ["s:one"])),
            workloads,
            try Fixture.rule("admins", match: [Fixture.matcher("admin", .bool(true))], terms: admin),
            try Fixture.rule("star", texts: [("sub", ["a"])], terms: Fixture.terms(scope: ["s:*"])),
        ]
        let live = try Self.live(rules, issuers: [Fixture.configuration(Fixture.quick), shared])
        func who(_ scope: String) async throws -> [AdministrationAPI.RuleOpening] {
            let (scope, page) = (try #require(Scope(parsing: scope)), try #require(AdministrationAPI.PageRequest()))
            return try await live.openings(of: scope, page).elements
        }
        let one = try await who("s:one")
        #expect(one.map(\.rule) == ["pinned", "open", "bound"])
        #expect(
            one.map(\.whom) == [
                "subjects of hub whose repository_id is 1 and ref is like refs/tags/* or main",
                "subjects of corp whose sub is like ** and aud is x",
                "workloads of the trust domain prod.example.com whose spiffe_id is like spiffe://prod.example.com/**"
                    + ", with a client certificate",
            ])
        #expect(one.map(\.isShared) == [true, false, false] && one.map(\.isOpen) == [false, true, false])
        #expect(one[0].cautions == ["hub signs tokens for everybody: only repository_id keeps others out"])
        #expect(one[1].cautions.count == 1 && one[2].cautions.isEmpty)
        #expect(try await who("s:two").map(\.rule) == ["pinned"])
        // No scope stands for another, but daypass:admin for the parts of the administration.
        #expect(try await who("s:three").isEmpty)
        #expect(try await who("s:*").map(\.rule) == ["star"])
        let keys = try await who("daypass:keys")
        #expect(keys.map(\.rule) == ["admins"] && keys[0].through?.text == "daypass:admin")
        #expect(keys[0].whom.hasSuffix("admin is true (no text), when they ask for it or name the rule"))
        #expect(try await who("daypass:admin").map(\.through) == [nil])
        #expect(try await who("daypass:introspect").isEmpty)
        #expect(try await who("daypass:revocations").isEmpty)
    }

    private static func filled(_ count: Int) async throws -> MemoryStore {
        let store = MemoryStore()
        for number in 0..<count {
            try await store.record(
                AuditEvent(
                    time: Fixture.now.addingTimeInterval(Double(number)), trace: TraceID(), kind: .exchangeRefused,
                    issuer: Fixture.name(), subject: ExactString("corp:u\(number)"), reason: "no_rule",
                    details: ["claims": ["sub": .string(ExactString("u\(number)"))]]))
        }
        return store
    }

    @Test func `a replay goes part by part through what was recorded, and takes no longer than a part may`()
        async throws
    {
        let store = try await Self.filled(10)
        let clock = ManualClock()
        /// A clock that is a second later at each look.
        struct Hurrying: BrokerClock {
            let clock: ManualClock
            var now: Date { clock.now }
            var uptime: Duration {
                clock.advance(by: .seconds(1))
                return clock.uptime
            }
        }
        let live = try Self.live([], store: store, clock: Hurrying(clock: clock))
        var order = AdministrationAPI.RuleReplayOrder(
            [.init(name: "n", text: "some u1\nmore u2\nall u*")], since: Fixture.now)
        var (parts, gains): (Int, Int) = (0, 0)
        repeat {
            let part = try await live.replay(order)
            #expect((1...2).contains(part.counts.examined))
            gains += part.counts.byChange[.gains] ?? 0
            order.position = part.next
            parts += 1
        } while order.position != nil && parts < 20
        #expect(parts == 5 && gains == 10)
        let calm = try Self.live([], store: store)
        order.position = nil
        order.since = Fixture.now.addingTimeInterval(3)
        order.until = Fixture.now.addingTimeInterval(7)
        let part = try await calm.replay(order)
        #expect(part.counts.examined == 4 && part.next == nil && part.warnings == ["a warning"])
        #expect(part.groups.map(\.key.subject).sorted() == ["corp:u3", "corp:u4", "corp:u5", "corp:u6"])
        // Nothing of it is in force, and nothing was recorded.
        #expect(store.events.count == 10)
    }

    @Test func `only one replay is under way, and one that fails leaves the next its turn`() async throws {
        let barrier = Barrier()
        let store = try await Self.filled(1)
        let live = try Self.live([], store: store, barrier: barrier)
        let order = AdministrationAPI.RuleReplayOrder([.init(name: "n", text: "all u*")], since: Fixture.now)
        async let first = live.replay(order)
        await barrier.arrived()
        await #expect(throws: AdministrationFailure.conflict("another replay is under way: one at a time")) {
            _ = try await live.replay(order)
        }
        barrier.open()
        #expect(try await first.counts.examined == 1)
        store.fail(with: StoreFailure(.unavailable, "read", cause: "told to"))
        await #expect(throws: AdministrationFailure.self) { _ = try await live.replay(order) }
        store.fail(with: nil)
        #expect(try await live.replay(order).counts.examined == 1)
    }
}
