// The signing keys on their way: staged → active → retiring → retired, and compromised from any of them. Every step is one
// transaction with its audit record, and then published; a revocation is published first.
package import FoundationEssentials
package import JOSE
package import Logging

/// Moves the signing keys, on request and on schedule.
///
/// One change is made after the other. What the store holds is the truth: whenever a change fails, the keys are read again
/// before the next one. Only a revoked key is out of the published ring before the store says so, and stays out.
package actor KeyRotation {
    /// A key that stopped signing is published for so long still: the longest that any rule can let a token live, now or
    /// then, and an hour for what was under way at that moment.
    package static let retirement: Duration = GrantTerms.longestSession + .seconds(3600)
    /// With so many published keys no further one becomes active, except for one that is revoked.
    package static let maximumPublished = 64
    /// How many changes may wait for the one that is being made.
    static let maximumWaiting = 32

    let store: any SigningKeyStore
    let configuration: SigningConfiguration
    let clock: any BrokerClock
    let logger: Logger
    let metrics: SigningKeyMetrics
    let revoking: (any KeyRevoking)?
    private let masterKey: MasterKey
    private let source: any SigningKeySource
    private let holder: StateHolder

    var agreement: ClockAgreement
    /// As the store has them, as far as is known.
    private(set) var records: [SigningKeyRecord]
    /// Keys that are taken out already, and of which the store does not know yet.
    var revoked: [ExactString: Revocation] = [:]
    private var keys: [ExactString: SigningKey] = [:]
    /// By the monotonic clock, in this process: what was served before, and for how long, nobody knows.
    private var publishedSince: [ExactString: Duration] = [:]
    private(set) var mustRead = false
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// What a key was revoked with.
    struct Revocation {
        let caller: Caller
        let reason: String?
        let trace: TraceID
    }

    /// - Parameters:
    ///   - records: all keys of the store.
    ///   - state: gets each new ring. A key that its revocations name is out from the beginning, whatever its record says.
    ///   - revoking: told of each key that is revoked; nil where nothing is but the ring.
    ///   - source: makes the new keys.
    ///   - lastRecord: when the last audit record was made before the start; nil where there is none.
    /// - Throws: at the first published key that does not open, or without exactly one active key.
    package init(
        _ store: any SigningKeyStore, holding records: [SigningKeyRecord], sealedWith masterKey: MasterKey,
        _ configuration: SigningConfiguration, publishingIn state: StateHolder,
        revoking: (any KeyRevoking)? = nil, source: any SigningKeySource = NewSigningKeys(), lastRecord: Date? = nil,
        clock: any BrokerClock,
        metrics: SigningKeyMetrics = SigningKeyMetrics(), logger: Logger
    ) throws(KeyRingFailure) {
        self.store = store
        self.masterKey = masterKey
        self.source = source
        self.configuration = configuration
        holder = state
        self.revoking = revoking
        self.clock = clock
        self.metrics = metrics
        self.logger = logger
        self.records = records
        agreement = ClockAgreement(clock, lastRecord: lastRecord)
        var opened: [SigningKey] = []
        for record in records where record.state.isPublished {
            opened.append(try SigningKey(opening: record, with: masterKey))
        }
        var ring = try KeyRing(opened)
        keys = Dictionary(opened.map { ($0.jwk.keyID, $0) }) { first, _ in first }
        // Where the process ended between the two records of a key's revocation, only its tokens' is there.
        let revocations = state.current.revocations
        for record in records where record.state != .compromised && revocations.isRevoked(key: record.keyID) {
            revoked[record.keyID] = Revocation(caller: .daemon, reason: nil, trace: TraceID(at: clock.now))
            revoking?.setKey(record.keyID, isRecorded: false)
        }
        if !revoked.isEmpty { ring = try Self.ring(records, keys, without: revoked) }
        state.update { [ring] in $0.keyRing = ring }
        let now = clock.uptime
        publishedSince = keys.mapValues { _ in now }
        let active = records.first { $0.state == .active }
        metrics.show(
            records.map(\.state), activated: active.map { $0.activated ?? $0.created },
            nextRotation: Self.scheduled(records, configuration))
    }

    /// Lets the staged key sign from now on. The active one begins to retire, and a new one is staged.
    /// - Parameters:
    ///   - force: also where the staged key has been published for less than `publish_lead`: gateways that verify by
    ///     themselves refuse its tokens until they have read the keys again.
    ///   - caller: nil for the schedule.
    package func rotate(
        force: Bool = false, by caller: Caller?, under trace: TraceID = TraceID()
    ) async throws(KeyRotationFailure) -> KeyRotated {
        try await takeTurn()
        defer { giveTurn() }
        try await catchUp()
        try await stageIfMissing()
        guard let staged = records.first(where: { $0.state == .staged }) else { throw .keys(.activeKeys(0)) }
        return try await activate(staged, .keyRotated, force: force, by: caller, trace)
    }

    /// Lets a key sign from now on: the staged one, as `rotate` does, or one that is retiring, whose tokens gateways know.
    /// The active one begins to retire. Nothing happens where the key is active.
    package func activate(
        _ keyID: ExactString, force: Bool = false, by caller: Caller, under trace: TraceID = TraceID()
    ) async throws(KeyRotationFailure) -> KeyRotated {
        try await takeTurn()
        defer { giveTurn() }
        try await catchUp()
        guard let record = records.first(where: { $0.keyID == keyID }) else { throw .unknown(keyID) }
        switch record.state {
        case .active: return KeyRotated(before: keyID, active: keyID, staged: stagedID)
        case .staged, .retiring: return try await activate(record, .keyActivated, force: force, by: caller, trace)
        case .retired, .compromised: throw .over(keyID, record.state)
        }
    }

    /// All keys that ever were, oldest first, as they are in force.
    package var descriptions: [SigningKeyDescription] {
        records.map { record in
            SigningKeyDescription(
                record, isRevoked: revoked[record.keyID] != nil,
                publishLeadLeft: record.state == .staged ? leadLeft(of: record.keyID) : nil)
        }
    }

    /// When the schedule lets the staged key sign; nil where there is no such key.
    package var nextRotation: Date? {
        guard let scheduled = Self.scheduled(records, configuration), let stagedID else { return nil }
        return max(scheduled, clock.now.addingTimeInterval(leadLeft(of: stagedID).seconds))
    }
}

extension KeyRotation {
    private var stagedID: ExactString? { records.first { $0.state == .staged }?.keyID }

    func leadLeft(of keyID: ExactString) -> Duration {
        let since = publishedSince[keyID] ?? clock.uptime
        return max(.zero, configuration.publishLead - (clock.uptime - since))
    }

    private static func scheduled(_ records: [SigningKeyRecord], _ configuration: SigningConfiguration) -> Date? {
        guard let active = records.first(where: { $0.state == .active }) else { return nil }
        return (active.activated ?? active.created).addingTimeInterval(configuration.rotateEvery.seconds)
    }

    /// - Parameter next: is staged or retiring.
    func activate(
        _ next: SigningKeyRecord, _ kind: AuditEvent.Kind, force: Bool, by caller: Caller?, _ trace: TraceID
    ) async throws(KeyRotationFailure) -> KeyRotated {
        guard let active = records.first(where: { $0.state == .active }) else { throw .keys(.activeKeys(0)) }
        let isStaged = next.state == .staged
        if isStaged {
            let left = leadLeft(of: next.keyID)
            guard force || left == .zero else { throw .tooEarly(next.keyID, left) }
            let published = records.count { $0.state.isPublished }
            guard published < Self.maximumPublished else { throw .tooMany(published) }
        }
        let now = clock.now
        let added = isStaged ? [try generate(.staged, at: now)] : []
        let change = KeyRingChange(
            [
                .init(active.keyID, from: .active, to: .retiring), .init(next.keyID, from: next.state, to: .active),
            ], adding: added, at: now)
        var details: JSONObject = [:]
        if isStaged { _ = details.append("forced", .bool(force)) }
        try await apply(change, event(kind, change, by: caller, details, trace))
        logger.notice(
            "another signing key signs",
            metadata: ["key": "\(next.keyID)", "before": "\(active.keyID)", "trace": "\(trace)"])
        return KeyRotated(before: active.keyID, active: next.keyID, staged: stagedID)
    }

    /// A store without a staged key, as after a restored backup, gets one.
    func stageIfMissing() async throws(KeyRotationFailure) {
        guard stagedID == nil else { return }
        let change = KeyRingChange([], adding: [try generate(.staged, at: clock.now)], at: clock.now)
        try await apply(change, event(.keyStaged, change, by: nil, [:], TraceID(at: clock.now)))
    }

    func generate(_ state: SigningKeyRecord.State, at now: Date) throws(KeyRotationFailure) -> SigningKeyRecord {
        do {
            return try source.key(configuration.algorithm, state: state, sealedWith: masterKey, at: now)
        } catch {
            throw .keys(error)
        }
    }

    func event(
        _ kind: AuditEvent.Kind, _ change: KeyRingChange, by caller: Caller?, _ details: JSONObject, _ trace: TraceID
    ) -> AuditEvent {
        var all: JSONObject = ["caller": .object((caller ?? .schedule).json)]
        _ = all.append("keys", change.json)
        for member in details.members { _ = all.append(member.name, member.value) }
        return AuditEvent(time: change.time, trace: trace, kind: kind, issuer: nil, subject: nil, details: all)
    }
}

extension KeyRotation {
    /// Returns when nobody else changes the keys.
    func takeTurn() async throws(KeyRotationFailure) {
        guard isTaken else {
            isTaken = true
            return
        }
        guard waiting.count < Self.maximumWaiting else { throw .busy }
        await withCheckedContinuation { waiting.append($0) }
    }

    func giveTurn() {
        if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
    }

    /// Makes the change durable and publishes it.
    /// - Throws: where it was not made. What the store has is published then, where it can be read.
    func apply(_ change: KeyRingChange, _ event: AuditEvent) async throws(KeyRotationFailure) {
        var failure: StoreFailure?
        do {
            try await store.apply(change, event)
        } catch {
            failure = error
        }
        if failure == nil, let next = change.applied(to: records) { return try adopt(next) }
        // It may have been made although the store says that it failed.
        mustRead = true
        do {
            try await readIfDue()
        } catch {
            throw failure.map { .store($0) } ?? error
        }
        if let failure, !change.isApplied(in: records) { throw .store(failure) }
    }

    /// Reads the keys where it is not known what the store has.
    func readIfDue() async throws(KeyRotationFailure) {
        guard mustRead else { return }
        let stored: [SigningKeyRecord]
        do {
            stored = try await store.signingKeys()
        } catch {
            throw .store(error)
        }
        try adopt(stored)
        mustRead = false
    }

    /// - Throws: where a key does not open; the last good ring stays then.
    private func adopt(_ next: [SigningKeyRecord]) throws(KeyRotationFailure) {
        var opened: [ExactString: SigningKey] = [:]
        for record in next where record.state.isPublished {
            if let key = keys[record.keyID] {
                opened[record.keyID] = key
                continue
            }
            do {
                opened[record.keyID] = try SigningKey(opening: record, with: masterKey)
            } catch {
                mustRead = true
                throw .keys(error)
            }
        }
        keys = opened
        records = next
        publishedSince = publishedSince.filter { opened[$0.key] != nil }
        for keyID in opened.keys where publishedSince[keyID] == nil { publishedSince[keyID] = clock.uptime }
        try publish()
    }

    func publish() throws(KeyRotationFailure) {
        let published: KeyRing
        do {
            published = try Self.ring(records, keys, without: revoked)
        } catch {
            throw .keys(error)
        }
        holder.update { $0.keyRing = published }
        show()
    }

    /// The keys of the store, without those that are revoked: the staged key signs in the place of such a one. Where that
    /// is revoked too, nothing is signed until the store can take another key.
    private static func ring(
        _ records: [SigningKeyRecord], _ keys: [ExactString: SigningKey], without revoked: [ExactString: Revocation]
    ) throws(KeyRingFailure) -> KeyRing {
        var ring = records.compactMap { record in
            revoked[record.keyID] == nil ? keys[record.keyID]?.moved(to: record.state) : nil
        }
        var hidden: ExactString?
        if !ring.contains(where: { $0.state == .active }) {
            if let index = ring.firstIndex(where: { $0.state == .staged }) {
                ring[index] = ring[index].moved(to: .active)
            } else if let active = records.first(where: { $0.state == .active }), let key = keys[active.keyID] {
                ring.append(key.moved(to: .active))
                hidden = active.keyID
            }
        }
        return try KeyRing(ring, hiding: hidden)
    }

    func show() {
        let states = records.map { revoked[$0.keyID] == nil ? $0.state : .compromised }
        let active = records.first { $0.state == .active }
        metrics.show(states, activated: active.map { $0.activated ?? $0.created }, nextRotation: nextRotation)
    }
}
