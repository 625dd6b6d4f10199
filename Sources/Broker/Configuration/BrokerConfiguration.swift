package import JOSE

/// The whole configuration, validated: whatever holds one can serve with it.
///
/// It is read from YAML elsewhere; here are only values that are already known to be sound.
package struct BrokerConfiguration: Sendable {
    package var server: ServerConfiguration
    package var tokens: TokenConfiguration
    package var verify: VerifyConfiguration
    package var store: StoreConfiguration
    package var audit: AuditConfiguration
    /// An absolute path.
    package var masterKeyFile: String
    package var issuers: [IssuerConfiguration]
    package var trustDomains: [TrustDomainConfiguration]
    package var rules: RuleSet
    /// Nil where nobody signs in at this broker.
    package var signIn: SignInConfiguration?

    package init(
        server: ServerConfiguration, tokens: TokenConfiguration, verify: VerifyConfiguration, store: StoreConfiguration,
        audit: AuditConfiguration, masterKeyFile: String, issuers: [IssuerConfiguration],
        trustDomains: [TrustDomainConfiguration] = [], rules: RuleSet, signIn: SignInConfiguration? = nil
    ) {
        self.server = server
        self.tokens = tokens
        self.verify = verify
        self.store = store
        self.audit = audit
        self.masterKeyFile = masterKeyFile
        self.issuers = issuers
        self.trustDomains = trustDomains
        self.rules = rules
        self.signIn = signIn
    }

    /// Of all who vouch for subjects.
    package var issuerNames: [IssuerName] { issuers.map(\.name) + trustDomains.map { IssuerName($0.name) } }

    /// Whether the public listener asks its clients for a certificate: without a trust domain one could prove nothing.
    package var requestsClientCertificates: Bool {
        server.publicTLS?.requestsClientCertificates == true && !trustDomains.isEmpty
    }
}

/// What is minted, and for whom.
package struct TokenConfiguration: Sendable, Hashable {
    /// `iss` of every gateway token.
    package var issuer: ExactString
    /// What a grant may name as `aud`; the first is the default. Never empty.
    package var audiences: [ExactString]
    package var signing: SigningConfiguration

    package init(
        issuer: ExactString, audiences: [ExactString], signing: SigningConfiguration = SigningConfiguration()
    ) {
        self.issuer = issuer
        self.audiences = audiences
        self.signing = signing
    }
}

/// What gateway tokens are signed with, and for how long with one key.
package struct SigningConfiguration: Sendable, Hashable {
    /// Of `rotateEvery`.
    package static let rotations: ClosedRange<Duration> = .seconds(3600) ... .seconds(365 * 86_400)
    /// Of `publishLead`: at least twice as long as a key set may be cached.
    package static let leads: ClosedRange<Duration> = .seconds(600) ... .seconds(7 * 86_400)

    /// ES256 or EdDSA. Of keys that are made from now on; those that are there keep theirs.
    package var algorithm: JWSAlgorithm
    /// For how long a key signs before the next one takes its place.
    package var rotateEvery: Duration
    /// For how long a key is published before it signs. Less than `rotateEvery`.
    package var publishLead: Duration

    package init(
        algorithm: JWSAlgorithm = .ES256, rotateEvery: Duration = .seconds(7 * 86_400),
        publishLead: Duration = .seconds(3600)
    ) {
        self.algorithm = algorithm
        self.rotateEvery = rotateEvery
        self.publishLead = publishLead
    }
}

/// What `/verify` demands beyond a good token, and what it may cost.
package struct VerifyConfiguration: Sendable, Hashable {
    /// Whether a request that requires no scope is refused, since its gateway is then most likely misconfigured.
    package var requireScope: Bool
    /// Whether a token that lists models is refused where the gateway requires none.
    package var requireModel: Bool
    /// So many verified tokens are remembered at most, each in 256 bytes on average: one of `VerificationCache.sizes`.
    package var cacheEntries: Int
    /// So many signatures that do not fit are checked for one client address: one of `FailedVerifications.rates`.
    package var failuresPerSecondPerAddress: Int

    package init(
        requireScope: Bool = true, requireModel: Bool = false, cacheEntries: Int = 200_000,
        failuresPerSecondPerAddress: Int = 200
    ) {
        self.requireScope = requireScope
        self.requireModel = requireModel
        self.cacheEntries = cacheEntries
        self.failuresPerSecondPerAddress = failuresPerSecondPerAddress
    }
}

/// Where the store is.
package enum StoreConfiguration: Sendable, Hashable {
    /// The absolute path of the database file.
    case sqlite(path: String)
}

/// What is kept with a session and in the audit record, and for how long.
package struct AuditConfiguration: Sendable, Hashable {
    /// Which claims of a subject token are kept.
    package enum Claims: String, Sendable, CaseIterable {
        /// The registered ones and those that a rule of the issuer names.
        case matched
        case all
    }

    /// Of `retention`.
    package static let retentions: ClosedRange<Duration> = .seconds(86_400) ... .seconds(3650 * 86_400)

    package var claims: Claims
    /// How long audit records, and sessions from their end on, are kept.
    package var retention: Duration
    /// The absolute path of a file that every audit record is written to as well; nil for none.
    package var file: String?
    /// The absolute path of the folder that audit records are moved to after `retention`; nil for `audit-archive` beside the
    /// store.
    package var archive: String?

    package init(
        claims: Claims = .matched, retention: Duration = .seconds(400 * 86_400), file: String? = nil,
        archive: String? = nil
    ) {
        self.claims = claims
        self.retention = retention
        self.file = file
        self.archive = archive
    }
}

extension BrokerConfiguration {
    /// The folder that audit records are moved to.
    package var auditArchive: String {
        if let folder = audit.archive { return folder }
        guard case .sqlite(let path) = store, let slash = path.lastIndex(of: "/") else { return "audit-archive" }
        return path[..<slash] + "/audit-archive"
    }
}
