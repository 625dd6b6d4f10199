package import FoundationEssentials
package import JOSE

/// That everything of one kind that began before it is dead: number N kills what carries a `rev` below N.
package struct Revocation: Sendable, Hashable {
    /// The last number that a token's `rev` can name exactly.
    package static let maximumSequence: UInt64 = 1 << 53
    /// In bytes of UTF-8.
    package static let maximumReasonLength = 512
    package static let maximumValueLength = 4096

    /// 1…2⁵³, in the order in which they came into force.
    package let sequence: UInt64
    package let target: Target
    /// For administrators alone: it never leaves the administration API.
    package let reason: String?
    /// Nil where new exchanges are not refused.
    package let block: Block?
    package let created: Date
    package let caller: Caller
    /// When the last token that it can match has expired.
    package let expires: Date

    package init(
        sequence: UInt64, target: Target, reason: String?, block: Block?, created: Date, caller: Caller, expires: Date
    ) {
        self.sequence = sequence
        self.target = target
        self.reason = reason
        self.block = block
        self.created = created
        self.caller = caller
        self.expires = expires
    }

    /// The same where its block was lifted: what it killed stays dead. It is kept as long as it would have been.
    package var withoutBlock: Revocation {
        Revocation(
            sequence: sequence, target: target, reason: reason, block: nil, created: created, caller: caller,
            expires: expires)
    }

    /// What is revoked.
    package enum Target: Sendable, Hashable, CustomStringConvertible {
        /// One token, by its `jti`.
        case token(ExactString)
        /// A session and all that descend from it, by `sid`.
        case session(ExactString)
        /// Whoever is called so in `sub`, or acts as such at any depth.
        case subject(ExactString)
        case rule(ExactString)
        /// All that it vouches for, subjects and those who act.
        case issuer(IssuerName)
        /// All that a signing key has signed, by `kid`.
        case key(ExactString)
        case all

        package enum Kind: String, Sendable, CaseIterable {
            case token, session, subject, rule, issuer, key, all

            /// Whether there is somebody to be kept out.
            package var canBlock: Bool {
                switch self {
                case .subject, .rule, .issuer, .all: true
                case .token, .session, .key: false
                }
            }
        }

        package var kind: Kind {
            switch self {
            case .token: .token
            case .session: .session
            case .subject: .subject
            case .rule: .rule
            case .issuer: .issuer
            case .key: .key
            case .all: .all
            }
        }

        /// Nil for `all`.
        package var value: ExactString? {
            switch self {
            case .token(let value), .session(let value), .subject(let value), .rule(let value), .key(let value): value
            case .issuer(let name): name.text
            case .all: nil
            }
        }

        /// Its kind and value.
        package var description: String {
            switch self {
            case .all: "everything"
            default: "\(kind.rawValue) \(value ?? "")"
            }
        }

        /// For the audit record of what it refuses.
        var json: JSONObject {
            var json: JSONObject = ["kind": .string(ExactString(kind.rawValue))]
            if let value { _ = json.append("value", .string(value)) }
            return json
        }

        /// - Returns: nil without a value where the kind has one, with one where it has none, for one that is too long, and
        ///   for what is no issuer's name.
        package init?(_ kind: Kind, _ value: ExactString?) {
            guard kind != .all else {
                guard value == nil else { return nil }
                self = .all
                return
            }
            guard let value, !value.isEmpty, value.utf8.count <= Revocation.maximumValueLength else { return nil }
            switch kind {
            case .token: self = .token(value)
            case .session: self = .session(value)
            case .subject: self = .subject(value)
            case .rule: self = .rule(value)
            case .key: self = .key(value)
            case .issuer:
                guard let name = IssuerName(recorded: value) else { return nil }
                self = .issuer(name)
            case .all: return nil
            }
        }
    }

    /// That new exchanges are refused, too.
    package struct Block: Sendable, Hashable {
        /// Nil where only lifting ends it.
        package let until: Date?

        package init(until: Date? = nil) {
            self.until = until
        }

        /// - Parameter now: of the wall clock.
        package func holds(at now: Date) -> Bool {
            until.map { now < $0 } ?? true
        }

        /// Whether it ends after the other one, or never and the other one does.
        package func outlasts(_ other: Block) -> Bool {
            guard let end = other.until else { return false }
            return until.map { $0 > end } ?? true
        }

        /// The longer of the two.
        func extended(by other: Block?) -> Block {
            guard let other, other.outlasts(self) else { return self }
            return other
        }
    }
}

/// What is asked to be revoked.
package struct RevocationRequest: Sendable, Hashable {
    package let target: Revocation.Target
    package let reason: String?
    package let block: Revocation.Block?

    /// - Throws: for a reason that is too long or has control characters, and a block where nobody can be kept out.
    package init(
        _ target: Revocation.Target, reason: String? = nil, block: Revocation.Block? = nil
    ) throws(Unacceptable) {
        if let reason {
            guard reason.utf8.count <= Revocation.maximumReasonLength, !ExactString(reason).hasControlCharacters else {
                throw .reason
            }
        }
        guard block == nil || target.kind.canBlock else { throw .block(target.kind) }
        self.target = target
        self.reason = reason
        self.block = block
    }

    /// What its holder gives back.
    init(ofHolder target: Revocation.Target) {
        self.target = target
        reason = nil
        block = nil
    }

    package enum Unacceptable: Error, Sendable, Equatable, CustomStringConvertible {
        case reason
        case block(Revocation.Target.Kind)

        package var description: String {
            switch self {
            case .reason:
                "a reason has at most \(Revocation.maximumReasonLength) bytes and no control characters"
            case .block(let kind):
                "a \(kind.rawValue) cannot be blocked: that keeps out a subject, a rule, an issuer, or all"
            }
        }
    }
}
