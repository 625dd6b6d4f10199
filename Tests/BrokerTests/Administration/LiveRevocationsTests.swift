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
        administration = LiveRevocations(
            revocations, search: store, state: { state.current }, clock: clock)
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
        #expect(found.value == "s3" && found.reason == "why" && found.caller == context.caller.text && found.isDurable)
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
