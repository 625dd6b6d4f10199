import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Revocations as the administration API has them.
@Suite struct LiveRevocationsTests {
    private typealias API = AdministrationAPI

    private let store = MemoryStore()
    private let clock = ManualClock()
    private let state: StateHolder
    private let administration: LiveRevocations
    private let context = AdministrativeContext(caller: .socket(uid: 7, loginUID: nil, pid: 8), trace: TraceID())

    init() throws {
        let state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        self.state = state
        let revocations = Revocations(store, publishedIn: state, clock: clock, logger: LogRecorder().logger)
        let configuration = try Self.configuration()
        administration = LiveRevocations(
            revocations, search: store, configuration: { configuration }, state: { state.current },
            outstanding: OutstandingTokens(LatestExpiry(), store, clock: clock), clock: clock,
            searchTime: .seconds(60))
    }

    /// The rules `main` of `ci`, which reads `sub`, and `mail` of `corp`, which reads `email`; `idle` has none.
    private static func configuration() throws -> BrokerConfiguration {
        let issuers = try ["ci", "corp", "idle"].map { try Fixture.configuration(Fixture.quick, name: $0) }
        let rules = [
            try Fixture.rule("main", issuer: "ci", texts: [("sub", ["*"])]),
            try Fixture.rule("mail", issuer: "corp", texts: [("email", ["*@x.com"])]),
        ]
        return try Fixture.configuration(issuers: issuers, rules)
    }

    private func revoke(_ kind: API.RevocationKind, _ value: ExactString) async throws -> API.RevocationResult {
        try await administration.revoke(.init(kind, .value(value), reason: "why"), context)
    }

    private func record(
        _ id: String, below ancestors: [ExactString] = [], issuer: String = "ci", subject: ExactString,
        rule: ExactString = "r", actor: JSONObject? = nil
    ) async throws {
        let session = SessionRecord(
            id: ExactString(id), ancestors: ancestors, issuer: try Fixture.name(issuer), subject: subject, rule: rule,
            actor: actor, start: clock.now, end: clock.now.addingTimeInterval(600), claims: ["sub": .string(subject)])
        try await store.record(session, Sample.grant(session: id))
    }

    @Test func `come page by page, the latest first, and each by its number`() async throws {
        for index in 1...5 { _ = try await revoke(.session, ExactString("s\(index)")) }
        var (numbers, cursor) = ([UInt64](), ExactString?.none)
        repeat {
            let page = try await administration.revocations(try #require(API.PageRequest(cursor: cursor, limit: 2)))
            numbers += page.elements.map(\.sequence)
            cursor = page.next
            // One that comes meanwhile is on no later page.
            if cursor != nil { _ = try await revoke(.session, "later") }
        } while cursor != nil
        #expect(numbers == [5, 4, 3, 2, 1])
        for cursor: ExactString in ["x", "0", "-1", "01", "99999999999999999999"] {
            await #expect(throws: AdministrationFailure.invalid("the cursor is none of ours")) {
                try await administration.revocations(try #require(API.PageRequest(cursor: cursor)))
            }
        }
        let found = try #require(try await administration.revocation(3))
        #expect(found.value == "s3" && found.reason == "why" && found.caller == context.caller && found.isDurable)
        for sequence in [0, 99, UInt64.max] { #expect(try await administration.revocation(sequence) == nil) }
        #expect(try await store.auditEvents(trace: context.trace).count == 7)
    }

    @Test func `that are not recorded yet say so until they are`() async throws {
        store.fail(with: StoreFailure(.unavailable, "record", cause: "the disk is full"))
        let result = try await revoke(.rule, "r")
        #expect(!result.isDurable)
        #expect(try await administration.revocation(1)?.isDurable == false)
        store.fail(with: nil)
        _ = try await revoke(.rule, "other")
        #expect(try await administration.revocation(1)?.isDurable == false)
        #expect(try await administration.revocation(2)?.isDurable == true)
    }

    @Test func `are previewed by what they would kill, those that act and those below included`() async throws {
        try await record("s1", subject: "ci:a")
        try await record("s2", below: ["s1"], subject: "ci:a", rule: "docs")
        try await record("s3", subject: "ci:b", actor: ["sub": "other:a"])
        try await record("s4", issuer: "other", subject: "other:b")
        let expected: [(API.RevocationOrder, [String])] = [
            (.init(.session, .value("s1")), ["s2", "s1"]), (.init(.session, .value("s2")), ["s2"]),
            (.init(.subject, .value("ci:a")), ["s2", "s1"]), (.init(.subject, .value("other:a")), ["s3"]),
            (.init(.rule, .value("docs")), ["s2"]), (.init(.issuer, .value("other")), ["s4", "s3"]),
            (.init(.all, .everything), ["s4", "s3", "s2", "s1"]), (.init(.token, .value("t")), []),
            (.init(.session, .claim("sub", "ci:b")), ["s3"]), (.init(.key, .value("k")), []),
        ]
        for (order, ids) in expected {
            let preview = try await administration.preview(order)
            #expect(preview.sessions.map(\.record.id.string) == ids && preview.sessionCount == ids.count, "\(order)")
        }
        #expect(state.current.revocations.highest == 0)
        // What is dead already does not end.
        _ = try await revoke(.session, "s1")
        #expect(try await administration.preview(.init(.all, .everything)).sessionCount == 2)
        clock.advance(by: .seconds(600))
        #expect(try await administration.preview(.init(.all, .everything)).sessionCount == 0)
    }

    /// What is said of each target where nothing of it is there.
    private static let unknown: [(API.RevocationOrder, [String])] = [
        (.init(.rule, .value("gone")), ["no rule of this name is configured", "0 live sessions match"]),
        (.init(.rule, .value("main")), ["0 live sessions match"]),
        (
            .init(.issuer, .value("gone"), block: .init()),
            ["no issuer or trust domain of this name is configured", "0 live sessions match"]
        ),
        (
            .init(.subject, .value("gone:a")),
            ["the subject's issuer, gone, is not configured", "0 live sessions match"]
        ),
        (
            .init(.subject, .value("nobody")),
            [
                "no subject is called so: it begins with its issuer's name and a colon, or is a SPIFFE ID",
                "0 live sessions match",
            ]
        ),
        (
            .init(.subject, .value("ci")),
            [
                "no subject is called so: it begins with its issuer's name and a colon, or is a SPIFFE ID",
                "0 live sessions match",
            ]
        ),
        (.init(.subject, .value("ci:b")), ["0 live sessions match"]),
        (.init(.session, .value("none")), ["no session of this id is recorded", "0 live sessions match"]),
    ]

    @Test func `that match nothing are made, and say so beforehand and afterwards`() async throws {
        for (order, warnings) in Self.unknown {
            #expect(try await administration.preview(order).findings.warnings == warnings, "\(order)")
            let result = try await administration.revoke(order, context)
            #expect(result.findings.warnings == warnings && result.revocations.count == 1, "\(order)")
        }
        // An hour is over.
        try await record("s1", subject: "ci:a")
        clock.advance(by: .seconds(3600))
        #expect(
            try await administration.revoke(.init(.session, .value("s1")), context).findings.warnings
                == ["0 live sessions match"])
    }

    @Test func `that match something say nothing, those of an actor included`() async throws {
        for index in 0..<7 {
            try await record(
                "s\(index)", subject: ExactString("ci:a\(index)"), rule: "main",
                actor: index == 2 ? ["sub": "corp:agent"] : nil)
        }
        let orders: [API.RevocationOrder] = [
            .init(.session, .value("s0")), .init(.subject, .value("ci:a1")), .init(.subject, .value("corp:agent")),
            .init(.rule, .value("main")), .init(.token, .value("t")), .init(.all, .everything),
        ]
        for order in orders {
            #expect(try await administration.preview(order).findings == .init(), "\(order)")
            guard order.kind != .rule else { continue }
            #expect(try await administration.revoke(order, context).findings == .init(), "\(order)")
        }
        // All are over by now.
        #expect(
            try await administration.revoke(.init(.rule, .value("main")), context).findings.warnings
                == ["0 live sessions match"])
    }

    @Test func `show the block that is in force, and that a shorter one does not shorten it`() async throws {
        let target = API.RevocationOrder.What.value("corp:a")
        func order(_ end: Double?) -> API.RevocationOrder {
            .init(.subject, target, block: .init(until: end.map { clock.now.addingTimeInterval($0) }))
        }
        #expect(try await administration.preview(order(nil)).findings.block == nil)
        #expect(try await administration.revoke(order(60), context).findings.block == order(60).block)
        #expect(try await administration.preview(order(nil)).findings.block == order(60).block)
        let made = try await administration.revoke(order(nil), context).findings
        #expect(made.block == .init() && made.warnings == ["0 live sessions match"])
        for findings in [
            try await administration.preview(order(600)).findings,
            try await administration.revoke(order(600), context).findings,
        ] {
            #expect(findings.block == .init())
            #expect(findings.warnings.last?.hasPrefix("a block that holds longer is in force and stays") == true)
            #expect(findings.json["block_in_force"] == [:])
        }
    }

    @Test func `of all that block say loudly whom that keeps out`() async throws {
        let order = API.RevocationOrder(.all, .everything, block: .init())
        for findings in [
            try await administration.preview(order).findings,
            try await administration.revoke(order, context).findings,
        ] {
            #expect(findings.warnings.contains { $0.contains("only the Unix socket administers the broker then") })
        }
        let kept = state.current.revocations.blocks(subject: "ci:a", actor: nil, rule: "main", at: clock.now)
        #expect(kept == .all)
    }

    @Test func `are lifted by name, and say what still keeps the same out`() async throws {
        let order = API.RevocationOrder(.subject, .value("corp:a"), reason: "back")
        for lifting in [administration.previewLifting, { try await administration.lift($0, context) }]
            as [(API.RevocationOrder) async throws -> API.BlockLift]
        {
            await #expect(throws: AdministrationFailure.notFound("subject corp:a is not blocked")) {
                try await lifting(order)
            }
        }
        _ = try await administration.revoke(.init(.subject, .value("corp:a"), block: .init()), context)
        _ = try await administration.revoke(.init(.issuer, .value("corp"), block: .init()), context)
        _ = try await administration.revoke(.init(.all, .everything, block: .init()), context)
        let others = ["everything is blocked as well, and stays so", "issuer corp is blocked as well, and stays so"]
        let preview = try await administration.previewLifting(order)
        #expect(preview == .init(kind: .subject, value: "corp:a", block: .init(), warnings: others))
        let lift = try await administration.lift(order, context)
        #expect(lift == .init(kind: .subject, value: "corp:a", block: .init(), revocations: [1], warnings: others))
        #expect(try await administration.revocation(1)?.block == nil)
        let all = try await administration.lift(.init(.all, .everything), context)
        #expect(all.revocations == [3] && all.warnings == [])
        store.fail(with: StoreFailure(.unavailable, "record", cause: "the disk is full"))
        let failure = await #expect(throws: AdministrationFailure.self) {
            try await administration.lift(.init(.issuer, .value("corp")), context)
        }
        guard case .unavailable = failure else { return #expect(Bool(false), "\(String(describing: failure))") }
        #expect(state.current.revocations.block(of: .issuer(try Fixture.name("corp"))) != nil)
    }

    @Test func `by a claim name the issuers whose sessions do not keep it`() async throws {
        let expected: [(ExactString, [ExactString], [String])] = [
            (
                "email", ["ci"],
                [
                    "0 live sessions match",
                    "sessions of ci do not keep the claim email, so they were not searched: no rule reads it, "
                        + "and audit.claims is not all",
                ]
            ),
            ("sub", [], ["0 live sessions match"]),
        ]
        for (claim, issuers, warnings) in expected {
            let order = API.RevocationOrder(.session, .claim(claim, "a@x.com"))
            let result = try await administration.revoke(order, context)
            for findings in [try await administration.preview(order).findings, result.findings] {
                #expect(findings.issuersWithoutClaim == issuers && findings.warnings == warnings)
            }
            #expect(result.json["issuers_without_claim"] == .array(issuers.map { .string($0) }))
        }
        let nested = API.RevocationOrder(.session, .claim("/roles/0", "admin"))
        #expect(try await administration.preview(nested).findings.issuersWithoutClaim == ["ci", "corp"])
    }

    @Test(arguments: [
        AdministrationAPI.RevocationOrder(.issuer, .value("No Such")), .init(.key, .value("k")),
        .init(.session, .claim("/~", "x")), .init(.subject, .value("ci:a"), reason: "a\nb"),
        .init(.session, .value("s"), block: .init()),
    ])
    func `that make no sense are refused`(_ order: AdministrationAPI.RevocationOrder) async throws {
        let failure = await #expect(throws: AdministrationFailure.self) {
            try await administration.revoke(order, context)
        }
        guard case .invalid = failure else { return #expect(Bool(false), "\(String(describing: failure))") }
        #expect(state.current.revocations.highest == 0)
    }
}
