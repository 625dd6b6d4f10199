package import Broker
package import FoundationEssentials
package import JOSE
package import SPIFFE
import Synchronization

/// A store that forgets: everything the protocols of a store promise but durability.
package final class MemoryStore: ExchangeStore, AuditReader, PrunableStore, SigningKeyStore, IssuerRegistry,
    TrustBundleStore, SealedRowStore, RestorableStore, RevocationStore, SessionSearch,
    ProviderCredentialStore, ExchangeHistory, AuditChainStore, AuditSearch, SignInStore
{
    struct State {
        var sessions = Rows<SessionRecord>()
        /// Of the sessions, so that thousands are recorded soon.
        var sessionIDs: Set<ExactString> = []
        var events = Rows<AuditEvent>()
        var uses: [[UInt8]: [Use]] = [:]
        var keys: [SigningKeyRecord] = []
        var issuers: [IssuerName: ExactString] = [:]
        var trustBundles: [TrustDomain: TrustBundleRecord] = [:]
        var generation = StoreGeneration(number: 1)
        var revocations: [Revocation] = []
        /// Of each provider in the order of their numbers.
        var credentials: [ProviderName: [SealedCredential]] = [:]
        var highestRevocation: UInt64 = 0
        var asked: @Sendable () -> RevocationSet = { .none }
        var callsLeft = Int.max
        var outage: StoreFailure?
        var chain = MemoryChain()
        var archives: [String: [AuditEvent]] = [:]
        var signIns: [ExactString: SignInRecord] = [:]
        /// Of which session, and the how-manieth of it, by their digests.
        var refreshTokens: [[UInt8]: (session: ExactString, generation: Int)] = [:]

        mutating func append(_ event: AuditEvent) {
            events.append(event)
            chain.append(event, events.last, generation.number)
        }
    }

    /// Rows with the numbers that they got.
    struct Rows<Row> {
        private(set) var numbered: [(number: Int64, row: Row)] = []
        private(set) var last: Int64 = 0

        var rows: [Row] { numbered.map(\.row) }

        mutating func append(_ row: Row) {
            last += 1
            numbered.append((last, row))
        }

        mutating func remove(_ numbers: Set<Int64>) {
            numbered.removeAll { numbers.contains($0.number) }
        }
    }

    struct Use {
        let expires: Date
        let joining: ExactString
        let session: ExactString
        var count = 1
    }

    let state = Mutex(State())

    package init() {}

    /// What was recorded, oldest first.
    package var sessions: [SessionRecord] { state.withLock { $0.sessions.rows } }
    package var events: [AuditEvent] { state.withLock { $0.events.rows } }

    /// What was archived, by the name of the file.
    package var archives: [String: [AuditEvent]] { state.withLock { $0.archives } }

    /// Lets every call fail with `failure` from now on, or none with nil.
    package func fail(with failure: StoreFailure?) {
        state.withLock { $0.outage = failure }
    }

    /// Lets calls fail from the one after the next `calls` on.
    package func fail(afterCalls calls: Int) {
        state.withLock { $0.callsLeft = calls }
    }

    /// Has those asked, from now on, before anything is granted.
    package func ask(_ revocations: @escaping @Sendable () -> RevocationSet) {
        state.withLock { $0.asked = revocations }
    }

    @discardableResult
    package func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome {
        try whileReachable { state throws(StoreFailure) in
            guard state.asked().kills(session) == nil else { return .revoked }
            guard state.sessionIDs.insert(session.id).inserted else { throw Self.taken }
            state.sessions.append(session)
            state.append(event)
            state.highestRevocation = max(state.highestRevocation, session.revision)
            return .recorded
        }
    }

    package func record(
        _ event: AuditEvent, renewing session: SessionRecord
    ) async throws(StoreFailure) -> UseOutcome {
        try whileReachable { state in
            guard state.asked().kills(session) == nil else { return .revoked }
            state.append(event)
            return .recorded
        }
    }

    package func record(_ revocations: [RecordedRevocation]) async throws(StoreFailure) {
        try whileReachable { state in
            var known = Set(state.revocations.map(\.sequence))
            for recorded in revocations {
                let sequence = recorded.revocation.sequence
                guard known.insert(sequence).inserted else { continue }
                state.revocations.append(recorded.revocation)
                state.append(recorded.event)
                state.highestRevocation = max(state.highestRevocation, sequence)
            }
        }
    }

    package func revocations() async throws(StoreFailure) -> [Revocation] {
        try whileReachable { $0.revocations.sorted { $0.sequence < $1.sequence } }
    }

    package func highestRevocation() async throws(StoreFailure) -> UInt64 {
        try whileReachable { $0.highestRevocation }
    }

    package func lift(blocksOf sequences: [UInt64], _ event: AuditEvent) async throws(StoreFailure) {
        try whileReachable { state in
            for index in state.revocations.indices where sequences.contains(state.revocations[index].sequence) {
                state.revocations[index] = state.revocations[index].withoutBlock
            }
            state.append(event)
        }
    }

    package func delete(revocations: [UInt64]) async throws(StoreFailure) {
        let numbers = Set(revocations)
        try whileReachable { state in state.revocations.removeAll { numbers.contains($0.sequence) } }
    }

    package func sessions(
        _ condition: SessionCondition, at now: Date, before position: Int64?, limit: Int
    ) async throws(StoreFailure) -> SessionPart {
        try whileReachable { state in
            let found = state.sessions.numbered.reversed().filter {
                $0.number < position ?? .max && $0.row.end > now && condition.matches($0.row)
                    && condition.signIn?.matches(state.signIns[$0.row.id]) ?? true
            }
            let part = found.prefix(limit)
            return SessionPart(part.map(\.row), next: found.count > limit ? part.last?.number : nil)
        }
    }

    package func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome {
        try whileReachable { state throws(StoreFailure) in
            guard state.asked().kills(session) == nil else { return .revoked }
            var uses = state.uses[use.key] ?? []
            guard uses.reduce(0, { $0 + $1.count }) < use.maximumUses else { return .exhausted }
            if let index = uses.firstIndex(where: { $0.joining == use.joining(session) }) {
                guard uses[index].session == session.id else {
                    return state.sessions.rows.first { $0.id == uses[index].session }.map(UseOutcome.joins)
                        ?? .exhausted
                }
                uses[index].count += 1
            } else {
                guard state.sessionIDs.insert(session.id).inserted else { throw Self.taken }
                uses.append(Use(expires: use.expires, joining: use.joining(session), session: session.id))
                state.sessions.append(session)
            }
            state.uses[use.key] = uses
            state.highestRevocation = max(state.highestRevocation, session.revision)
            state.append(event)
            return .recorded
        }
    }

    package func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord? {
        try whileReachable { $0.sessions.rows.first { $0.id == id } }
    }

    package func record(_ event: AuditEvent) async throws(StoreFailure) {
        try whileReachable { $0.append(event) }
    }

    package func trustBundle(of trustDomain: TrustDomain) async throws(StoreFailure) -> TrustBundleRecord? {
        try whileReachable { $0.trustBundles[trustDomain] }
    }

    package func keep(_ record: TrustBundleRecord) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            guard state.trustBundles[record.trustDomain]?.mayBecome(record) ?? true else {
                throw StoreFailure(
                    .conflict, "keep a trust bundle", cause: "one with a higher sequence is kept already")
            }
            state.trustBundles[record.trustDomain] = record
        }
    }

    package func forgetUses(expiredAt now: Date, limit: Int) async throws(StoreFailure) -> Int {
        try whileReachable { state in
            let old = state.uses.filter { $0.value[0].expires < now.addingTimeInterval(-60) }.prefix(limit)
            for (key, _) in old { state.uses[key] = nil }
            return old.count
        }
    }

    package func prune(_ batch: PruningBatch) async throws(StoreFailure) -> PruningResult {
        try whileReachable { state in
            let rows: [(number: Int64, start: Date, end: Date)] =
                switch batch.table {
                case .sessions: state.sessions.numbered.map { ($0.number, $0.row.start, $0.row.end) }
                }
            var choice = PruningChoice(batch, oldestUse: state.uses.values.map { $0[0].expires }.min())
            var old: Set<Int64> = []
            for row in rows.filter({ $0.number > batch.position }).prefix(batch.maximumRows) {
                guard let isOld = choice.look(at: row.number, start: row.start, end: row.end) else { break }
                if isOld { old.insert(row.number) }
            }
            switch batch.table {
            case .sessions:
                state.sessions.remove(old)
                state.sessionIDs = Set(state.sessions.rows.map(\.id))
            }
            if let event = choice.event { state.append(event) }
            return choice.result
        }
    }

    package func signingKeys() async throws(StoreFailure) -> [SigningKeyRecord] {
        try whileReachable { $0.keys.sorted { $0.created < $1.created } }
    }

    package func insertFirstSigningKeys(_ keys: [SigningKeyRecord]) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            let areDistinct = Set(keys.map(\.keyID)).count == keys.count
            let areSingle = [SigningKeyRecord.State.active, .staged].allSatisfy { single in
                keys.count { $0.state == single } <= 1
            }
            guard state.keys.isEmpty, areDistinct, areSingle else {
                throw StoreFailure(.conflict, "insert the first signing keys", cause: "there are keys already")
            }
            state.keys = keys
        }
    }

    package func apply(_ change: KeyRingChange, _ event: AuditEvent) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            guard let keys = change.applied(to: state.keys) else {
                throw StoreFailure(.conflict, "change signing keys", cause: "the signing keys are in other states")
            }
            state.keys = keys
            state.append(event)
        }
    }

    package func sealedRows() async throws(StoreFailure) -> [SealedRow] {
        try whileReachable { state in
            let bundles = state.trustBundles.values.sorted { $0.trustDomain.name < $1.trustDomain.name }
            let credentials = state.credentials.sorted { $0.key < $1.key }.flatMap(\.value)
            return state.keys.sorted { $0.created < $1.created }.filter { !$0.sealed.isEmpty }
                .map(SealedRow.signingKey) + bundles.map(SealedRow.trustBundle)
                + credentials.filter { $0.version.state != .retired }.map(SealedRow.providerCredential)
                + state.chain.keys.map(SealedRow.checkpointKey)
                + state.signIns.values.filter { !$0.sealed.isEmpty }.sorted { $0.session < $1.session }
                .map(SealedRow.signIn)
        }
    }

    package func reseal(
        _ row: SealedRow, as sealed: [UInt8], under masterKeyID: ExactString, _ event: AuditEvent
    ) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            let conflict = StoreFailure(.conflict, "seal a row anew", cause: "it is no longer what it was")
            switch row {
            case .signingKey(let key):
                guard let index = state.keys.firstIndex(where: { $0.keyID == key.keyID && $0.sealed == key.sealed })
                else { throw conflict }
                state.keys[index] = SigningKeyRecord(
                    keyID: key.keyID, algorithm: key.algorithm, state: state.keys[index].state, sealed: sealed,
                    masterKeyID: masterKeyID, created: key.created, activated: state.keys[index].activated,
                    stopped: state.keys[index].stopped, ended: state.keys[index].ended)
            case .checkpointKey(let key):
                guard let index = state.chain.keys.firstIndex(where: { $0 == key }) else { throw conflict }
                state.chain.keys[index] = CheckpointKeyRecord(
                    keyID: key.keyID, publicKey: key.publicKey, sealed: sealed, masterKeyID: masterKeyID,
                    created: key.created)
            case .signIn(let signIn):
                guard let now = state.signIns[signIn.session], now.sealed == signIn.sealed else { throw conflict }
                state.signIns[signIn.session] = now.resealed(as: sealed, under: masterKeyID)
            case .trustBundle(let bundle):
                guard state.trustBundles[bundle.trustDomain]?.sealed == bundle.sealed else { throw conflict }
                state.trustBundles[bundle.trustDomain] = TrustBundleRecord(
                    trustDomain: bundle.trustDomain, endpoint: bundle.endpoint, sequence: bundle.sequence,
                    sealed: sealed, masterKeyID: masterKeyID, updated: bundle.updated)
            case .providerCredential(let credential):
                let version = credential.version
                let index = state.credentials[version.provider]?.firstIndex {
                    $0.version.number == version.number && $0.sealed == credential.sealed
                }
                guard let index, let now = state.credentials[version.provider]?[index].version else { throw conflict }
                state.credentials[version.provider]?[index] = SealedCredential(
                    CredentialVersion(
                        provider: now.provider, number: now.number, state: now.state, masterKeyID: masterKeyID,
                        created: now.created, since: now.since, firstUsed: now.firstUsed, lastUsed: now.lastUsed,
                        caller: now.caller), sealed: sealed)
            }
            state.append(event)
        }
    }

    package func generation() async throws(StoreFailure) -> StoreGeneration {
        try whileReachable { $0.generation }
    }

    package func begin(
        _ generation: StoreGeneration, with keys: [SigningKeyRecord], _ event: AuditEvent
    ) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            let ids = Set((state.keys + keys).map(\.keyID))
            guard generation.number > state.generation.number, ids.count == state.keys.count + keys.count else {
                throw StoreFailure(.conflict, "begin a generation of the store", cause: "it cannot follow")
            }
            state.keys = state.keys.map { $0.outOfUse(at: event.time) } + keys
            state.generation = generation
            state.refreshTokens = [:]
            state.append(event)
        }
    }

    package func bind(
        _ issuers: [IssuerName: ExactString], recording event: AuditEvent?
    ) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            try Self.check(issuers, against: state.issuers)
            state.issuers.merge(issuers) { bound, _ in bound }
            if let event { state.append(event) }
        }
    }

    package func checkBinding(_ issuers: [IssuerName: ExactString]) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in try Self.check(issuers, against: state.issuers) }
    }

    private static func check(
        _ issuers: [IssuerName: ExactString], against bound: [IssuerName: ExactString]
    ) throws(StoreFailure) {
        for (name, issuer) in issuers.sorted(by: { $0.key.text < $1.key.text }) {
            guard let other = bound[name], other != issuer else { continue }
            throw StoreFailure(
                .conflict, "bind issuers",
                cause: "the name \(name) stands for the issuer \(other) for good; \(issuer) needs another name")
        }
    }

    static var taken: StoreFailure {
        StoreFailure(.conflict, "record", cause: "the session is recorded already")
    }

    func whileReachable<Value>(
        _ body: (inout sending State) throws(StoreFailure) -> sending Value
    ) throws(StoreFailure) -> Value {
        try state.withLock { state throws(StoreFailure) in
            if let outage = state.outage { throw outage }
            guard state.callsLeft > 0 else {
                throw StoreFailure(.unavailable, "use the store", cause: "it fails from this call on")
            }
            state.callsLeft -= 1
            return try body(&state)
        }
    }
}
