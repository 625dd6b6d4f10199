package import Broker
import FoundationEssentials
import JOSE

/// What every store promises, one case each. A test runs them all against each store there is, a fresh one each time.
package enum StoreConformance: String, CaseIterable, Sendable {
    case grantComesBack = "a granted exchange comes back by its trace, value for value"
    case refusalComesBack = "a refusal comes back with what it leaves out still left out"
    case tracesStayApart = "events of one trace come oldest first and without those of others"
    case textSurvives = "text comes back to the byte: NUL, quotes, other spellings, beyond the first plane"
    case sessionOnce = "a session is recorded once, and the second attempt leaves no event"
    case concurrentRecords = "many concurrent records are all kept"
    case concurrentDuplicates = "of many concurrent records of one session exactly one is kept"
    case sessionComesBack = "a session comes back by its id, value for value, and no other does"
    case signInComesBack = "a sign-in comes back by each of its refresh tokens, value for value, and by no other"
    case signInIsKept = "what a sign-in has sealed is kept by itself, and a session is known for a sign-in"
    case signInRotates = "a refresh token takes the place of the one before with its audit record, once"
    case signInAllOrNone = "of a sign-in that cannot be stored nothing is, nor of one that was revoked"
    case signInsOfProvider = "the sessions that a logout at the provider is about are found, those that live alone"
    case signInsByCondition = "sessions that somebody signed in to are listed by themselves, and by e-mail address"
    case signInsAreForgotten = "sign-ins that have ended are forgotten with their refresh tokens, so many at once"
    case signInSecretsAreDropped = "what lies sealed of sign-ins whose sessions are dead is dropped, and no more"
    case signInsEndWithGeneration = "a new generation of the store has no sign-ins"
    case usesAreCounted = "uses are recorded up to their limit, and what is beyond it leaves nothing"
    case usesJoin = "a further use joins the session of the first, and nothing is recorded before it does"
    case usesOfAnother = "with another rule or another actor a use opens a session of its own, and all count together"
    case usesApart = "uses of another token are counted apart"
    case usesOfFailures = "a use whose record fails is not counted"
    case usesTogether = "of fifty concurrent uses as many are recorded as may be, all of one session"
    case usesTogetherOfTwo = "of fifty concurrent uses with two rules as many are recorded as may be, of two sessions"
    case auditIsArchived = "audit records older than the retention are archived up to a checkpoint, on the record"
    case unsignedStays = "audit records that no checkpoint covers are not archived"
    case archivingIsBounded = "no more segments are archived at once than it takes, and the next go behind them"
    case archivingPassesOverTheFuture = "audit records of the future do not hold up those behind them"
    case pruningIsBounded = "a batch deletes no more rows than it may look at, and the next goes on behind it"
    case sessionsArePruned = "sessions that ended before the retention are deleted, and their audit records stay"
    case joinableSessionsStay = "a session that a use may join is not deleted"
    case lastTime = "the last audit record is the one that was recorded last, whatever its time"
    case lastExpiry = "the latest expiry of what was granted since a moment is found, or that it is too much to look at"
    case keysComeBack = "the first signing keys come back oldest first"
    case keysOnce = "there are first signing keys only once"
    case keysAllOrNone = "of signing keys that cannot be stored together none is stored"
    case keysChange = "signing keys change with their audit record, and come back with the times of it"
    case keysChangeWhole = "a change that does not fit the stored signing keys changes nothing and leaves no event"
    case keysChangeOnce = "of many concurrent changes from one state exactly one is made"
    case rowsAreResealed = "sealed rows are found, and sealed anew each with its audit record, once"
    case credentialsComeBack =
        "credentials of providers come back byte for byte, in the order of providers and versions"
    case credentialsChange = "a credential's versions change with their audit record, and what is retired is erased"
    case credentialsChangeWhole = "a change that does not fit the stored versions changes nothing and leaves no event"
    case credentialsChangeOnce = "of many concurrent additions of one number exactly one is made"
    case credentialUses = "first and last uses are widened, and only those of versions that are there"
    case issuersBind = "an issuer's name may be bound again to the same issuer and never to another"
    case issuersAtomic = "of names of which one is taken none is bound"
    case issuersExact = "issuers are compared byte by byte"
    case issuersRecorded = "names are bound with their record, both or neither, and checking them binds none"
    case bundlesComeBack = "the last bundle of a trust domain comes back value for value, and no other does"
    case bundlesNeverGoBack = "a bundle of a lower sequence, or of none, takes nothing's place"
    case bundlesOfEndpoints = "a bundle of another endpoint takes the place of any"
    case generationBegins = "a new generation retires every key, adds its own and is recorded, all or nothing"
    case generationGoesOn = "a generation never goes back"

    case revocationsComeBack = "revocations come back by their numbers, value for value, with their audit records"
    case revocationsOnce = "a number that is recorded already is left as it is, without a second audit record"
    case blocksAreLifted = "a block is lifted with its audit record, and the revocation stays"
    case revocationNumbers = "the highest number is that of any revocation or session, deleted ones included"
    case sessionsByClaim = "sessions are found by what is kept of them, the last one first, those that live alone"
    case sessionsByCondition = "sessions are listed by what they are, the last one first, part by part"
    case recordsAreChained = "records are chained whoever makes them, and the chain verifies"
    case checkpointsAreMade =
        "a checkpoint is made behind a thousand records, and where one is wanted and anything is new"
    case chainInStretches = "a chain verifies stretch by stretch"
    case checkpointKeysAreSealed = "checkpoint keys come back, and are sealed anew with everything else"
    case auditByCondition = "audit records are found by what they say, byte for byte, the last one first"
    case auditInParts = "audit records come part by part, in either direction, each once"
    case auditByTime = "audit records are found from a moment on and before another one"

    case exchangesByTime = "exchanges are read again by their time, oldest first, part by part, and nothing else is"
    case exchangesUntilStopped = "reading exchanges ends where it is told to, and goes on behind"

    package typealias Store = ExchangeStore & AuditReader & PrunableStore & SigningKeyStore & IssuerRegistry
        & TrustBundleStore & SealedRowStore & RestorableStore & RevocationStore & SessionSearch
        & ProviderCredentialStore & ExchangeHistory & AuditChainStore & AuditSearch & SignInStore

    /// - Parameter store: One that nothing was stored in.
    /// - Throws: where it does not keep the promise.
    package func check(_ store: any Store) async throws {
        switch self {
        case .grantComesBack: try await Self.grantComesBack(store)
        case .refusalComesBack: try await Self.refusalComesBack(store)
        case .tracesStayApart: try await Self.tracesStayApart(store)
        case .textSurvives: try await Self.textSurvives(store)
        case .sessionOnce: try await Self.sessionOnce(store)
        case .concurrentRecords: try await Self.concurrentRecords(store)
        case .concurrentDuplicates: try await Self.concurrentDuplicates(store)
        case .sessionComesBack: try await Self.sessionComesBack(store)
        case .signInComesBack: try await Self.signInComesBack(store)
        case .signInIsKept: try await Self.signInIsKept(store)
        case .signInRotates: try await Self.signInRotates(store)
        case .signInAllOrNone: try await Self.signInAllOrNone(store)
        case .signInsOfProvider: try await Self.signInsOfProvider(store)
        case .signInsByCondition: try await Self.signInsByCondition(store)
        case .signInsAreForgotten: try await Self.signInsAreForgotten(store)
        case .signInSecretsAreDropped: try await Self.signInSecretsAreDropped(store)
        case .signInsEndWithGeneration: try await Self.signInsEndWithGeneration(store)
        case .usesAreCounted: try await Self.usesAreCounted(store)
        case .usesJoin: try await Self.usesJoin(store)
        case .usesOfAnother: try await Self.usesOfAnother(store)
        case .usesApart: try await Self.usesApart(store)
        case .usesOfFailures: try await Self.usesOfFailures(store)
        case .usesTogether: try await Self.usesTogether(store)
        case .usesTogetherOfTwo: try await Self.usesTogetherOfTwo(store)
        case .auditIsArchived: try await Self.auditIsArchived(store)
        case .unsignedStays: try await Self.unsignedStays(store)
        case .archivingIsBounded: try await Self.archivingIsBounded(store)
        case .archivingPassesOverTheFuture: try await Self.archivingPassesOverTheFuture(store)
        case .pruningIsBounded: try await Self.pruningIsBounded(store)
        case .sessionsArePruned: try await Self.sessionsArePruned(store)
        case .joinableSessionsStay: try await Self.joinableSessionsStay(store)
        case .lastTime: try await Self.lastTime(store)
        case .lastExpiry: try await Self.lastExpiry(store)
        case .keysComeBack: try await Self.keysComeBack(store)
        case .keysOnce: try await Self.keysOnce(store)
        case .keysAllOrNone: try await Self.keysAllOrNone(store)
        case .keysChange: try await Self.keysChange(store)
        case .keysChangeWhole: try await Self.keysChangeWhole(store)
        case .keysChangeOnce: try await Self.keysChangeOnce(store)
        case .rowsAreResealed: try await Self.rowsAreResealed(store)
        case .credentialsComeBack: try await Self.credentialsComeBack(store)
        case .credentialsChange: try await Self.credentialsChange(store)
        case .credentialsChangeWhole: try await Self.credentialsChangeWhole(store)
        case .credentialsChangeOnce: try await Self.credentialsChangeOnce(store)
        case .credentialUses: try await Self.credentialUses(store)
        case .issuersBind: try await Self.issuersBind(store)
        case .issuersAtomic: try await Self.issuersAtomic(store)
        case .issuersExact: try await Self.issuersExact(store)
        case .issuersRecorded: try await Self.issuersRecorded(store)
        case .bundlesComeBack: try await Self.bundlesComeBack(store)
        case .bundlesNeverGoBack: try await Self.bundlesNeverGoBack(store)
        case .bundlesOfEndpoints: try await Self.bundlesOfEndpoints(store)
        case .generationBegins: try await Self.generationBegins(store)
        case .generationGoesOn: try await Self.generationGoesOn(store)
        case .revocationsComeBack: try await Self.revocationsComeBack(store)
        case .revocationsOnce: try await Self.revocationsOnce(store)
        case .blocksAreLifted: try await Self.blocksAreLifted(store)
        case .revocationNumbers: try await Self.revocationNumbers(store)
        case .sessionsByClaim: try await Self.sessionsByClaim(store)
        case .sessionsByCondition: try await Self.sessionsByCondition(store)
        case .exchangesByTime: try await Self.exchangesByTime(store)
        case .exchangesUntilStopped: try await Self.exchangesUntilStopped(store)
        case .recordsAreChained: try await Self.recordsAreChained(store)
        case .checkpointsAreMade: try await Self.checkpointsAreMade(store)
        case .chainInStretches: try await Self.chainInStretches(store)
        case .checkpointKeysAreSealed: try await Self.checkpointKeysAreSealed(store)
        case .auditByCondition: try await Self.auditByCondition(store)
        case .auditInParts: try await Self.auditInParts(store)
        case .auditByTime: try await Self.auditByTime(store)
        }
    }
}

/// A promise that was not kept.
package struct ConformanceFailure: Error, CustomStringConvertible {
    package let description: String
}

extension StoreConformance {
    private static func grantComesBack(_ store: any Store) async throws {
        let event = Sample.grant(session: "s1")
        try await store.record(Sample.session("s1"), event)
        try expect(try await store.auditEvents(trace: event.trace), are: [event])
    }

    private static func refusalComesBack(_ store: any Store) async throws {
        let event = Sample.refusal()
        try await store.record(event)
        try expect(try await store.auditEvents(trace: event.trace), are: [event])
    }

    private static func tracesStayApart(_ store: any Store) async throws {
        let trace = TraceID()
        // The order is that of recording, whatever the clock said.
        let events = [3, 1, 2].map { Sample.refusal(trace: trace, time: Sample.time.addingTimeInterval($0)) }
        for event in events {
            try await store.record(event)
            try await store.record(Sample.refusal())
        }
        try expect(try await store.auditEvents(trace: trace), are: events)
        try expect(try await store.auditEvents(trace: TraceID()), are: [])
    }

    private static func textSurvives(_ store: any Store) async throws {
        for text in ["a\0b", "\0", "", "'\"\\; --", "e\u{301}", "é", "🜁", "\u{FEFF}x"] as [ExactString] {
            let event = AuditEvent(
                time: Sample.time, trace: TraceID(), kind: .exchangeGranted, issuer: Sample.issuer, subject: text,
                rule: text, sessionID: text, tokenID: text, reason: text.string,
                details: JSONObject(uniqueMembers: [(text, .array([.string(text), .null, .bool(true), .number(-0.5)]))])
            )
            try await store.record(Sample.session(text.string), event)
            try expect(try await store.auditEvents(trace: event.trace), are: [event])
        }
    }

    private static func sessionOnce(_ store: any Store) async throws {
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        let event = Sample.grant(session: "s1")
        try await expect(.conflict, "the second record of a session") { () async throws(StoreFailure) in
            try await store.record(Sample.session("s1"), event)
        }
        try expect(try await store.auditEvents(trace: event.trace), are: [])
    }

    private static func concurrentRecords(_ store: any Store) async throws {
        let events = (0..<50).map { Sample.grant(session: "s\($0)") }
        try await withThrowingTaskGroup { group in
            for event in events {
                group.addTask { try await store.record(Sample.session(event.sessionID?.string ?? ""), event) }
            }
            try await group.waitForAll()
        }
        for event in events { try expect(try await store.auditEvents(trace: event.trace), are: [event]) }
    }

    private static func concurrentDuplicates(_ store: any Store) async throws {
        let events = (0..<50).map { _ in Sample.grant(session: "s1") }
        let recorded: [TraceID] = await withTaskGroup(of: TraceID?.self) { group in
            for event in events {
                group.addTask { (try? await store.record(Sample.session("s1"), event)) == nil ? nil : event.trace }
            }
            return await group.reduce(into: []) { traces, trace in if let trace { traces.append(trace) } }
        }
        try expect(recorded.count == 1, "\(recorded.count) of 50 records of one session succeeded")
        for event in events {
            let expected = recorded.contains(event.trace) ? [event] : []
            try expect(try await store.auditEvents(trace: event.trace), are: expected)
        }
    }
}

extension StoreConformance {
    private static func keysComeBack(_ store: any Store) async throws {
        try expect(try await store.signingKeys().isEmpty, "a new store has signing keys")
        let staged = Sample.key("k2", .staged, created: Sample.time.addingTimeInterval(1))
        let active = Sample.key("k1", .active)
        try await store.insertFirstSigningKeys([staged, active])
        try expect(try await store.signingKeys() == [active, staged], "the signing keys came back otherwise")
    }

    private static func keysOnce(_ store: any Store) async throws {
        let first = Sample.key("k1", .active)
        try await store.insertFirstSigningKeys([first])
        try await expect(.conflict, "a second set of first keys") { () async throws(StoreFailure) in
            try await store.insertFirstSigningKeys([Sample.key("k2", .staged)])
        }
        try expect(try await store.signingKeys() == [first], "a second set of first keys was stored")
    }

    private static func keysAllOrNone(_ store: any Store) async throws {
        let impossible = [
            [Sample.key("k1", .active), Sample.key("k2", .active)],
            [Sample.key("k1", .active), Sample.key("k1", .staged)],
            [Sample.key("k1", .active), Sample.key("k2", .staged), Sample.key("k3", .staged)],
        ]
        for keys in impossible {
            try await expect(.conflict, "two active keys, or one key twice") { () async throws(StoreFailure) in
                try await store.insertFirstSigningKeys(keys)
            }
            try expect(try await store.signingKeys().isEmpty, "one of the keys was stored")
        }
    }

    private static func issuersBind(_ store: any Store) async throws {
        try await store.bind([Sample.issuer: "https://one.example.com"])
        try await store.bind([Sample.issuer: "https://one.example.com", Sample.name("b"): "https://one.example.com"])
        let failure = try await expect(.conflict, "another issuer under a bound name") {
            () async throws(StoreFailure) in
            try await store.bind([Sample.issuer: "https://two.example.com"])
        }
        for part in [Sample.issuer.description, "https://one.example.com", "https://two.example.com"] {
            try expect(failure.cause.contains(part), "the conflict does not name \(part)")
        }
    }

    private static func issuersAtomic(_ store: any Store) async throws {
        try await store.bind([Sample.name("m"): "https://m.example.com"])
        try await expect(.conflict, "a taken name among new ones") { () async throws(StoreFailure) in
            try await store.bind([
                Sample.name("a"): "https://a.example.com", Sample.name("m"): "https://other.example.com",
                Sample.name("z"): "https://z.example.com",
            ])
        }
        try await store.bind([
            Sample.name("a"): "https://free.example.com", Sample.name("z"): "https://free.example.com",
        ])
    }

    private static func issuersExact(_ store: any Store) async throws {
        try await store.bind([Sample.issuer: "https://é.example.com"])
        for other in ["https://e\u{301}.example.com", "https://é.example.com/", "HTTPS://é.example.com"]
            as [ExactString]
        {
            try await expect(.conflict, "\(other) for another spelling") { () async throws(StoreFailure) in
                try await store.bind([Sample.issuer: other])
            }
        }
    }

    private static func issuersRecorded(_ store: any Store) async throws {
        let (bound, refused) = (Sample.keyEvent(.configurationReloaded), Sample.keyEvent(.configurationReloaded))
        try await store.bind([Sample.name("a"): "https://a.example.com"], recording: bound)
        try expect(try await store.auditEvents(trace: bound.trace).count == 1, "the record is not there")
        let taken: [IssuerName: ExactString] = [
            Sample.name("a"): "https://other.example.com", Sample.name("b"): "https://b.example.com",
        ]
        try await expect(.conflict, "a taken name") { () async throws(StoreFailure) in
            try await store.bind(taken, recording: refused)
        }
        try expect(try await store.auditEvents(trace: refused.trace).isEmpty, "what was not bound is recorded")
        try await expect(.conflict, "a taken name that is only checked") { () async throws(StoreFailure) in
            try await store.checkBinding(taken)
        }
        try await store.checkBinding([Sample.name("b"): "https://b.example.com"])
        try await store.bind([Sample.name("b"): "https://free.example.com"])
    }
}

extension StoreConformance {
    static func expect(_ holds: Bool, _ otherwise: String) throws {
        guard holds else { throw ConformanceFailure(description: otherwise) }
    }

    @discardableResult
    static func expect(
        _ code: StoreFailure.Code, _ what: String, _ body: () async throws(StoreFailure) -> Void
    ) async throws -> StoreFailure {
        do {
            try await body()
        } catch {
            try expect(error.code == code, "\(what): \(error) instead of \(code)")
            return error
        }
        throw ConformanceFailure(description: "\(what) was accepted")
    }

    static func expect(_ found: [AuditEvent], are expected: [AuditEvent]) throws {
        let isSame = found.count == expected.count && zip(found, expected).allSatisfy { $0.isSame(as: $1) }
        try expect(isSame, "found \(found) instead of \(expected)")
    }
}

extension AuditEvent {
    /// Whether every part of it is the same, details in their order.
    package func isSame(as other: AuditEvent) -> Bool {
        time == other.time && trace == other.trace && kind == other.kind && issuer == other.issuer
            && subject == other.subject && rule == other.rule && sessionID == other.sessionID
            && tokenID == other.tokenID && reason.map { Array($0.utf8) } == other.reason.map { Array($0.utf8) }
            && details.encoded() == other.details.encoded()
    }
}
