package import FoundationEssentials
package import JOSE
import OpenSSL

/// The broker's own signing keys: an immutable snapshot of which signs and which are published.
package struct KeyRing: Sendable {
    package let active: SigningKey
    /// Every key that gateways should know, the active one included, by key id.
    package let published: [ExactString: JWK]
    /// The JWK Set (RFC 7517 §5) of the published keys, oldest first, as JSON.
    package let jwks: [UInt8]

    /// Those of the published keys, each once, in the order of their names.
    package let algorithms: [JWSAlgorithm]

    /// Whether anybody would accept what the active key signs.
    var canSign: Bool { published[active.jwk.keyID] != nil }

    /// - Parameters:
    ///   - keys: oldest first; those whose state is not published are left out.
    ///   - hidden: the active key where it may not be published: nothing is to be signed then.
    /// - Throws: unless exactly one key is active.
    package init(_ keys: [SigningKey], hiding hidden: ExactString? = nil) throws(KeyRingFailure) {
        let active = keys.filter { $0.state == .active }
        guard active.count == 1 else { throw .activeKeys(active.count) }
        self.active = active[0]
        let published = keys.filter { $0.state.isPublished && $0.jwk.keyID != hidden }.map(\.jwk)
        for key in published { key.publicKey.expectMany() }
        self.published = Dictionary(published.map { ($0.keyID, $0) }) { first, _ in first }
        jwks = JSONValue.object(["keys": .array(published.map { .object($0.json) })]).encoded()
        algorithms = Set(published.compactMap(\.algorithm)).sorted { $0.rawValue < $1.rawValue }
    }

    /// The ring that the records hold.
    /// - Throws: at the first record that does not open with `masterKey` or does not hold the key that it names.
    package init(opening records: [SigningKeyRecord], with masterKey: MasterKey) throws(KeyRingFailure) {
        var keys: [SigningKey] = []
        for record in records where record.state.isPublished {
            keys.append(try SigningKey(opening: record, with: masterKey))
        }
        try self.init(keys)
    }
}

/// A signing key, ready to sign.
package struct SigningKey: Sendable {
    package let state: SigningKeyRecord.State
    package let jwk: JWK
    package let signer: JWSSigner

    /// Those that a ring begins with, the active one and the staged one.
    package static func generateFirst(
        _ algorithm: JWSAlgorithm, sealedWith masterKey: MasterKey, at now: Date
    ) throws(KeyRingFailure) -> [SigningKeyRecord] {
        let active = try generate(algorithm, state: .active, sealedWith: masterKey, at: now)
        return [active, try generate(algorithm, state: .staged, sealedWith: masterKey, at: now)]
    }

    /// A new key and its record, sealed.
    /// - Throws: `.generation`, also for an algorithm other than ES256 and EdDSA.
    package static func generate(
        _ algorithm: JWSAlgorithm, state: SigningKeyRecord.State, sealedWith masterKey: MasterKey, at now: Date
    ) throws(KeyRingFailure) -> SigningKeyRecord {
        let type: KeyType
        switch algorithm {
        case .ES256: type = .ellipticCurve(.p256)
        case .EdDSA: type = .ed25519
        default: throw .generation("we do not sign with \(algorithm.rawValue)")
        }
        do {
            let key = try PrivateKey.generate(type)
            let keyID = JWK.thumbprint(of: key.publicKey)
            return SigningKeyRecord(
                keyID: keyID, algorithm: algorithm, state: state,
                sealed: try masterKey.seal(key.pkcs8(), for: place(of: keyID)), masterKeyID: masterKey.id, created: now,
                activated: state == .active ? now : nil)
        } catch let failure as KeyFailure {
            throw .generation(failure.description)
        } catch {
            throw .generation("\(error)")
        }
    }

    /// - Throws: `.otherMasterKey` or `.damaged`.
    package init(opening record: SigningKeyRecord, with masterKey: MasterKey) throws(KeyRingFailure) {
        guard record.masterKeyID == masterKey.id else {
            throw .otherMasterKey(keyID: record.keyID, sealedWith: record.masterKeyID, have: masterKey.id)
        }
        guard let secret = try? masterKey.open(record.sealed, from: Self.place(of: record.keyID)),
            let key = secret.withSpan({ span in try? PrivateKey(pkcs8: span) }),
            JWK.thumbprint(of: key.publicKey) == record.keyID, record.algorithm.scheme.fits(key.type)
        else { throw .damaged(keyID: record.keyID) }
        state = record.state
        jwk = JWK(keyID: record.keyID, publicKey: key.publicKey, algorithm: record.algorithm)
        signer = JWSSigner(key: key, keyID: record.keyID, algorithm: record.algorithm, type: GatewayToken.type)
    }

    private init(state: SigningKeyRecord.State, jwk: JWK, signer: JWSSigner) {
        self.state = state
        self.jwk = jwk
        self.signer = signer
    }

    /// The same key in another state.
    func moved(to state: SigningKeyRecord.State) -> SigningKey {
        SigningKey(state: state, jwk: jwk, signer: signer)
    }

    static func place(of keyID: ExactString) -> SealedPlace {
        SealedPlace(purpose: "signing-key", table: "signing_keys", id: keyID.string, version: 1)
    }
}

/// Why there is no usable key ring.
package enum KeyRingFailure: Error, Sendable, CustomStringConvertible {
    case activeKeys(Int)
    case otherMasterKey(keyID: ExactString, sealedWith: ExactString, have: ExactString)
    case damaged(keyID: ExactString)
    case generation(String)

    package var description: String {
        switch self {
        case .activeKeys(0): "the store has no active signing key; `daypassd init` makes the first ones"
        case .activeKeys(let count): "the store has \(count) active signing keys; there must be one"
        case .otherMasterKey(let keyID, let sealedWith, let have):
            "signing key \(keyID) was sealed with master key \(sealedWith), and the master key file holds \(have)"
        case .damaged(let keyID): "signing key \(keyID) does not open: its row was altered or damaged"
        case .generation(let cause): "no signing key could be made: \(cause)"
        }
    }
}
