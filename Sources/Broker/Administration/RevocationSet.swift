package import FoundationEssentials
package import JOSE

/// The revocations that are in force, as verdicts and exchanges look them up. Immutable; a look-up costs the same however
/// many there are.
package struct RevocationSet: Sendable {
    package static let none = RevocationSet()

    /// The highest sequence number that was given out; 0 before the first revocation.
    package private(set) var highest: UInt64 = 0

    private var tokens = RevocationTable<UInt64>()
    private var sessions = RevocationTable<UInt64>()
    private var subjects = RevocationTable<UInt64>()
    private var rules = RevocationTable<UInt64>()
    private var issuers = RevocationTable<UInt64>()
    private var keys = RevocationTable<UInt64>()
    private var all: UInt64 = 0

    private var blockedSubjects = RevocationTable<Revocation.Block>()
    private var blockedRules = RevocationTable<Revocation.Block>()
    private var blockedIssuers = RevocationTable<Revocation.Block>()
    private var blockOfAll: Revocation.Block?

    /// - Parameters:
    ///   - revocations: by ascending number.
    ///   - highest: the last number that was given out, where that is more than the last of `revocations`.
    package init(_ revocations: some Sequence<Revocation> = [], highest: UInt64 = 0) {
        for revocation in revocations { insert(revocation) }
        self.highest = max(self.highest, highest)
    }

    /// Adds one with a higher number than any before. Of two blocks of one target the longer one counts, whichever came
    /// first: revoking once more lets nobody in.
    mutating func insert(_ revocation: Revocation) {
        highest = max(highest, revocation.sequence)
        switch revocation.target {
        case .token(let value): tokens.set(revocation.sequence, for: value)
        case .session(let value): sessions.set(revocation.sequence, for: value)
        case .subject(let value): subjects.set(revocation.sequence, for: value)
        case .rule(let value): rules.set(revocation.sequence, for: value)
        case .issuer(let name): issuers.set(revocation.sequence, for: name.text)
        case .key(let value): keys.set(revocation.sequence, for: value)
        case .all: all = max(all, revocation.sequence)
        }
        guard let block = revocation.block?.extended(by: block(of: revocation.target)) else { return }
        switch revocation.target {
        case .subject(let value): blockedSubjects.set(block, for: value)
        case .rule(let value): blockedRules.set(block, for: value)
        case .issuer(let name): blockedIssuers.set(block, for: name.text)
        case .all: blockOfAll = block
        case .token, .session, .key: break
        }
    }

    /// The longest block of that target itself, also one that has ended; nil where there is none.
    package func block(of target: Revocation.Target) -> Revocation.Block? {
        switch target {
        case .subject(let value): blockedSubjects[value]
        case .rule(let value): blockedRules[value]
        case .issuer(let name): blockedIssuers[name.text]
        case .all: blockOfAll
        case .token, .session, .key: nil
        }
    }

    /// Which of its targets kills the token; nil while it lives.
    package func kills(_ claims: GatewayClaims) -> Revocation.Target? {
        if Self.isDead(claims.revision, tokens[claims.tokenID]) { return .token(claims.tokenID) }
        // Whatever its number: whoever has the key writes what he likes.
        if keys[claims.keyID] != nil { return .key(claims.keyID) }
        for key in claims.ancestorKeys where keys[key] != nil { return .key(key) }
        return kills(
            revision: claims.revision, lineage: claims.lineage, subject: claims.subject, actors: claims.actors,
            rule: claims.rule)
    }

    /// The same for a session, of which no token need be there.
    package func kills(_ session: SessionRecord) -> Revocation.Target? {
        // Most often there is nothing above its number, and that is all that recording pays.
        guard session.revision < highest else { return nil }
        return kills(
            revision: session.revision, lineage: session.lineage, subject: session.subject,
            actors: GatewayClaims.subjects(actingIn: session.actor), rule: session.rule)
    }

    /// Whether all that a signing key has signed is dead.
    func isRevoked(key keyID: ExactString) -> Bool { keys[keyID] != nil }

    private func kills(
        revision: UInt64, lineage: [ExactString], subject: ExactString, actors: [ExactString], rule: ExactString
    ) -> Revocation.Target? {
        if revision < all { return .all }
        if Self.isDead(revision, subjects[subject]) { return .subject(subject) }
        for actor in actors where Self.isDead(revision, subjects[actor]) { return .subject(actor) }
        for session in lineage where Self.isDead(revision, sessions[session]) { return .session(session) }
        if Self.isDead(revision, rules[rule]) { return .rule(rule) }
        guard !issuers.isEmpty else { return nil }
        for person in CollectionOfOne(subject) + actors {
            guard let issuer = IssuerName(of: person) else { continue }
            if Self.isDead(revision, issuers[issuer.text]) { return .issuer(issuer) }
        }
        return nil
    }

    private static func isDead(_ revision: UInt64, _ sequence: UInt64?) -> Bool {
        sequence.map { revision < $0 } ?? false
    }

    /// Which target keeps a new session out at the moment `now`; nil where none does.
    /// - Parameters:
    ///   - actor: who acts for the subject, as `act` says it.
    ///   - rule: nil where none is meant.
    package func blocks(
        subject: ExactString, actor: JSONObject?, rule: ExactString?, at now: Date
    ) -> Revocation.Target? {
        if let blockOfAll, blockOfAll.holds(at: now) { return .all }
        if let rule, blockedRules[rule]?.holds(at: now) == true { return .rule(rule) }
        guard !blockedSubjects.isEmpty || !blockedIssuers.isEmpty else { return nil }
        for person in [subject] + GatewayClaims.subjects(actingIn: actor) {
            if blockedSubjects[person]?.holds(at: now) == true { return .subject(person) }
            guard let issuer = IssuerName(of: person) else { continue }
            if blockedIssuers[issuer.text]?.holds(at: now) == true { return .issuer(issuer) }
        }
        return nil
    }
}
