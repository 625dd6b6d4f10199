package import JOSE
import SPIFFE

/// Where rows lie that only a master key opens.
package protocol SealedRowStore: Sendable {
    /// Every row that holds a secret.
    func sealedRows() async throws(StoreFailure) -> [SealedRow]

    /// Puts `sealed` in the place of what the row holds, and makes that and its audit record durable, both or neither.
    /// - Throws: `.conflict` where the row is no longer what it was.
    func reseal(
        _ row: SealedRow, as sealed: [UInt8], under masterKeyID: ExactString, _ event: AuditEvent
    ) async throws(StoreFailure)
}

/// A row that only a master key opens.
package enum SealedRow: Sendable, Hashable {
    case signingKey(SigningKeyRecord)
    case trustBundle(TrustBundleRecord)
    case providerCredential(SealedCredential)
    case checkpointKey(CheckpointKeyRecord)
    case signIn(SignInRecord)

    /// What the row is known by in its table; of a credential `provider/version`.
    package var id: ExactString {
        switch self {
        case .signingKey(let key): key.keyID
        case .trustBundle(let bundle): bundle.trustDomain.name
        case .providerCredential(let credential):
            ExactString("\(credential.version.provider)/\(credential.version.number)")
        case .checkpointKey(let key): key.keyID
        case .signIn(let signIn): signIn.session
        }
    }

    package var sealed: [UInt8] {
        switch self {
        case .signingKey(let key): key.sealed
        case .trustBundle(let bundle): bundle.sealed
        case .providerCredential(let credential): credential.sealed
        case .checkpointKey(let key): key.sealed
        case .signIn(let signIn): signIn.sealed
        }
    }

    package var masterKeyID: ExactString {
        switch self {
        case .signingKey(let key): key.masterKeyID
        case .trustBundle(let bundle): bundle.masterKeyID
        case .providerCredential(let credential): credential.version.masterKeyID
        case .checkpointKey(let key): key.masterKeyID
        case .signIn(let signIn): signIn.masterKeyID
        }
    }

    package var place: SealedPlace {
        switch self {
        case .signingKey(let key): SigningKey.place(of: key.keyID)
        case .trustBundle(let bundle): TrustBundleRecord.place(of: bundle.trustDomain, from: bundle.endpoint)
        case .providerCredential(let credential): credential.place
        case .checkpointKey(let key): CheckpointKeyRecord.place(of: key.keyID)
        case .signIn(let signIn): SignInSecrets.place(of: signIn.session)
        }
    }

    package var isProviderCredential: Bool {
        if case .providerCredential = self { true } else { false }
    }
}
