package import FoundationEssentials
package import JOSE
package import OpenSSL

/// A key that signs checkpoints and nothing else (Ed25519).
package struct CheckpointKey: Sendable {
    /// The key's RFC 7638 thumbprint.
    package let keyID: ExactString
    private let key: PrivateKey

    package var publicKey: PublicKey { key.publicKey }

    /// A new key and its record, sealed.
    package static func generate(
        sealedWith masterKey: MasterKey, at now: Date
    ) throws(CheckpointKeyFailure) -> CheckpointKeyRecord {
        do {
            let key = try PrivateKey.generate(.ed25519)
            let keyID = JWK.thumbprint(of: key.publicKey)
            return CheckpointKeyRecord(
                keyID: keyID, publicKey: key.publicKey.ed25519Bytes ?? [],
                sealed: try masterKey.seal(key.pkcs8(), for: CheckpointKeyRecord.place(of: keyID)),
                masterKeyID: masterKey.id, created: now)
        } catch {
            throw .generation("\(error)")
        }
    }

    /// - Throws: also where the public half in the record is another key's.
    package init(opening record: CheckpointKeyRecord, with masterKey: MasterKey) throws(CheckpointKeyFailure) {
        guard record.masterKeyID == masterKey.id else {
            throw .otherMasterKey(keyID: record.keyID, sealedWith: record.masterKeyID, have: masterKey.id)
        }
        guard let secret = try? masterKey.open(record.sealed, from: CheckpointKeyRecord.place(of: record.keyID)),
            let key = secret.withSpan({ span in try? PrivateKey(pkcs8: span) }),
            JWK.thumbprint(of: key.publicKey) == record.keyID, key.publicKey.ed25519Bytes == record.publicKey
        else { throw .damaged(keyID: record.keyID) }
        keyID = record.keyID
        self.key = key
    }

    func signature(over message: [UInt8]) throws(OpenSSLError) -> [UInt8] {
        try key.signature(over: message.span, scheme: .ed25519)
    }
}

/// A checkpoint key at rest. None is ever deleted: what it signed is verified for as long as it is kept.
package struct CheckpointKeyRecord: Sendable, Hashable {
    package let keyID: ExactString
    /// 32 bytes. It counts where `sealed` opens and belongs to it: anybody can write a public key into a table.
    package let publicKey: [UInt8]
    /// PKCS #8 under the master key.
    package let sealed: [UInt8]
    package let masterKeyID: ExactString
    package let created: Date

    package init(
        keyID: ExactString, publicKey: [UInt8], sealed: [UInt8], masterKeyID: ExactString, created: Date
    ) {
        self.keyID = keyID
        self.publicKey = publicKey
        self.sealed = sealed
        self.masterKeyID = masterKeyID
        self.created = created
    }

    static func place(of keyID: ExactString) -> SealedPlace {
        SealedPlace(purpose: "audit-checkpoint", table: "checkpoint_keys", id: keyID.string, version: 1)
    }
}

/// The checkpoint keys of a store: the newest signs, all of them verify.
package struct CheckpointKeys: Sendable {
    package let signing: CheckpointKey
    private let publicKeys: [ExactString: PublicKey]

    /// - Parameter records: oldest first.
    /// - Returns: nil where there is none.
    package init?(
        opening records: [CheckpointKeyRecord], with masterKey: MasterKey
    ) throws(CheckpointKeyFailure) {
        var keys: [CheckpointKey] = []
        for record in records { keys.append(try CheckpointKey(opening: record, with: masterKey)) }
        guard let newest = keys.last else { return nil }
        signing = newest
        publicKeys = Dictionary(keys.map { ($0.keyID, $0.publicKey) }) { first, _ in first }
    }

    /// Whether one of them signed `checkpoint`.
    package func didSign(_ checkpoint: Checkpoint) -> Bool {
        publicKeys[checkpoint.keyID].map(checkpoint.isSigned) ?? false
    }

    /// That of the key that signs.
    package func signature(
        saying statement: Checkpoint.Statement, of checkpoint: Checkpoint
    ) throws(OpenSSLError) -> CheckpointSignature {
        let bytes = try signing.signature(over: checkpoint.payload(saying: statement))
        return CheckpointSignature(keyID: signing.keyID, bytes: bytes)
    }

    /// Whether one of them said so.
    package func didSay(
        _ statement: Checkpoint.Statement, of checkpoint: Checkpoint, _ signature: CheckpointSignature
    ) -> Bool {
        guard let key = publicKeys[signature.keyID] else { return false }
        let (bytes, payload) = (signature.bytes, checkpoint.payload(saying: statement))
        return key.isValidSignature(bytes.span, over: payload.span, scheme: .ed25519)
    }
}

/// Under a `Checkpoint.Statement`. Without it the record of an archiving counts for nothing: its hash anybody can compute.
package struct CheckpointSignature: Sendable, Hashable {
    package let keyID: ExactString
    /// Ed25519, 64 bytes.
    package let bytes: [UInt8]

    package init(keyID: ExactString, bytes: [UInt8]) {
        self.keyID = keyID
        self.bytes = bytes
    }

    /// - Parameter details: of the record of an archiving.
    /// - Returns: nil where they have none.
    package init?(_ details: JSONObject) {
        guard let keyID = details["key"]?.string,
            let bytes = details["signature"]?.string.flatMap({ try? Base64URL.decode($0) })
        else { return nil }
        self.init(keyID: keyID, bytes: bytes)
    }
}

/// Why a checkpoint key cannot be used.
package enum CheckpointKeyFailure: Error, Sendable, CustomStringConvertible {
    case otherMasterKey(keyID: ExactString, sealedWith: ExactString, have: ExactString)
    case damaged(keyID: ExactString)
    case generation(String)

    package var description: String {
        switch self {
        case .otherMasterKey(let keyID, let sealedWith, let have):
            "audit checkpoint key \(keyID) was sealed with master key \(sealedWith), and the master key file holds "
                + "\(have)"
        case .damaged(let keyID): "audit checkpoint key \(keyID) does not open: its row was altered or damaged"
        case .generation(let cause): "no audit checkpoint key could be made: \(cause)"
        }
    }
}
