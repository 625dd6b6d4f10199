import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Synchronization
import Testing

/// A key ring over a store of its own, clocks that a test moves, and what gateways would see of it.
struct RotationBench {
    static let caller = Caller.socket(uid: 1000, loginUID: nil, pid: 7)

    let store: FailingKeyStore
    let clock = ManualClock()
    let masterKey: MasterKey
    let holder: StateHolder
    let log = LogRecorder()
    let metrics = SigningKeyMetrics()
    let revocations = RecordedRevocations()
    let rotation: KeyRotation

    init(
        _ configuration: SigningConfiguration = SigningConfiguration(), algorithm: JWSAlgorithm = .ES256,
        states: [SigningKeyRecord.State] = [.active, .staged], source: any SigningKeySource = NewSigningKeys(),
        lastRecord: Date? = nil
    ) async throws {
        let masterKey = try MasterKey.generate().0
        let memory = MemoryStore()
        let now = clock.now
        let records = try states.map {
            try SigningKey.generate(algorithm, state: $0, sealedWith: masterKey, at: now)
        }
        try await memory.insertFirstSigningKeys(records)
        self.masterKey = masterKey
        store = FailingKeyStore(memory)
        holder = StateHolder(BrokerState(keyRing: try KeyRing(opening: records, with: masterKey)))
        rotation = try KeyRotation(
            store, holding: records, sealedWith: masterKey, configuration, publishingIn: holder,
            revoking: revocations, source: source, lastRecord: lastRecord, clock: clock, metrics: metrics,
            logger: log.logger)
    }

    var stored: [SigningKeyRecord] { get async throws { try await store.base.signingKeys() } }

    func id(_ state: SigningKeyRecord.State) async throws -> ExactString {
        try #require(await stored.last { $0.state == state }).keyID
    }

    var active: ExactString { holder.current.keyRing.active.jwk.keyID }

    /// What `GET /oauth/jwks` lists.
    var published: Set<ExactString> {
        get throws { Set(try JWKSet(parsing: holder.current.keyRing.jwks).keys.keys) }
    }

    /// Lets the clocks run for so long that they are believed and the staged key is known, without a tick on the way.
    func settle() async {
        await rotation.tick()
        clock.advance(by: .seconds(3600))
        await rotation.tick()
    }

    /// A token of the key that signs now, good for a day.
    func token() async throws -> SecretText {
        let subject = try await Fixture.subject()
        let terms = try Fixture.terms(timeToLive: .seconds(86_400))
        let rules = try Fixture.rules(Fixture.rule("ci-main", texts: [("sub", ["alice"])], terms: terms))
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let mint = TokenMint(issuer: Fixture.broker, state: { holder.current }, random: SystemRandom())
        return try mint.mint(subject, grant, keeping: [:], at: clock.now).0.text
    }

    func accepts(_ token: SecretText, at now: Date? = nil) throws -> Bool {
        let verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: Fixture.broker, audiences: [Fixture.gateway]), policy: .init(),
            state: holder)
        return verifier.verdict(
            for: token, requiring: Requirement(scopes: try Fixture.scopes(["anthropic:messages"]), models: []),
            presentedBy: nil, at: now ?? clock.now
        ).isAllowed
    }

    /// That the store has one active key and at most one staged, and that what is published is what it has.
    func expectConsistent(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let stored = try await stored
        #expect(stored.count { $0.state == .active } == 1, comment, sourceLocation: sourceLocation)
        #expect(stored.count { $0.state == .staged } <= 1, comment, sourceLocation: sourceLocation)
        #expect(stored.first { $0.state == .active }?.keyID == active, comment, sourceLocation: sourceLocation)
        let expected = Set(stored.filter(\.state.isPublished).map(\.keyID))
        #expect(try published == expected, comment, sourceLocation: sourceLocation)
    }

    func kinds() -> [AuditEvent.Kind] { store.base.events.map(\.kind) }
}

/// A store that fails at chosen calls, before or after it has done what it was asked.
final class FailingKeyStore: SigningKeyStore {
    enum Fault: CaseIterable, Sendable {
        /// Nothing was done.
        case before
        /// It was done, and nobody is told.
        case after
    }

    let base: MemoryStore
    private let state = Mutex(State())

    private struct State {
        var calls = 0
        var fault = Fault.before
        var failing: ClosedRange<Int>?
    }

    init(_ base: MemoryStore) {
        self.base = base
    }

    /// Lets calls fail, counted from 1 from now on; none with nil.
    func fail(_ calls: ClosedRange<Int>?, _ fault: Fault = .before) {
        state.withLock { $0 = State(fault: fault, failing: calls) }
    }

    func signingKeys() async throws(StoreFailure) -> [SigningKeyRecord] {
        let (fault, failure) = next()
        if fault != nil { throw failure }
        return try await base.signingKeys()
    }

    func insertFirstSigningKeys(_ keys: [SigningKeyRecord]) async throws(StoreFailure) {
        try await base.insertFirstSigningKeys(keys)
    }

    func apply(_ change: KeyRingChange, _ event: AuditEvent) async throws(StoreFailure) {
        let (fault, failure) = next()
        if fault == .before { throw failure }
        try await base.apply(change, event)
        if fault == .after { throw failure }
    }

    private func next() -> (Fault?, StoreFailure) {
        state.withLock { state in
            state.calls += 1
            let fails = state.failing?.contains(state.calls) == true
            return (fails ? state.fault : nil, StoreFailure(.unavailable, "change signing keys", cause: "no disk"))
        }
    }
}

/// Keys that cannot be made at chosen calls.
final class FailingKeySource: SigningKeySource {
    private let state = Mutex((calls: 0, failing: ClosedRange<Int>?.none))

    /// Lets calls fail, counted from 1 from now on; none with nil.
    func fail(_ calls: ClosedRange<Int>?) { state.withLock { $0 = (0, calls) } }

    func key(
        _ algorithm: JWSAlgorithm, state: SigningKeyRecord.State, sealedWith masterKey: MasterKey, at now: Date
    ) throws(KeyRingFailure) -> SigningKeyRecord {
        let fails = self.state.withLock { own in
            own.calls += 1
            return own.failing?.contains(own.calls) == true
        }
        if fails { throw .generation("no randomness") }
        return try SigningKey.generate(algorithm, state: state, sealedWith: masterKey, at: now)
    }
}

/// What was asked of the revocations.
final class RecordedRevocations: KeyRevoking {
    private let state = Mutex((keys: [ExactString](), isDurable: true))

    var keys: [ExactString] { state.withLock { $0.keys } }

    func setDurable(_ isDurable: Bool) { state.withLock { $0.isDurable = isDurable } }

    func revokeKey(_ keyID: ExactString, reason: String?, by caller: Caller, under trace: TraceID) async -> Bool {
        state.withLock {
            $0.keys.append(keyID)
            return $0.isDurable
        }
    }

    func setKey(_ keyID: ExactString, isRecorded: Bool) {}
}

/// Why it was not done; nil where it was.
func refusal(_ body: () async throws(KeyRotationFailure) -> Void) async -> String? {
    do {
        try await body()
        return nil
    } catch {
        return error.description
    }
}
