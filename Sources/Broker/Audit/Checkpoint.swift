package import FoundationEssentials
package import JOSE
package import OpenSSL

/// A point of the chain of audit records, signed: up to there nobody can have altered it who has not the key.
package struct Checkpoint: Sendable, Hashable {
    /// Where the chain was when a checkpoint was made.
    package struct Place: Sendable, Hashable {
        /// The number of the record that it is made behind, and that record's hash.
        package let sequence: Int64
        package let hash: [UInt8]
        /// How many records the chain has up to there, from its first one on.
        package let count: Int64

        package init(sequence: Int64, hash: [UInt8], count: Int64) {
            self.sequence = sequence
            self.hash = hash
            self.count = count
        }
    }

    /// From 1 on, without gaps.
    package let number: Int64
    package let place: Place
    /// Milliseconds since 1970.
    package let time: Int64
    /// Of the store: see `StoreGeneration`.
    package let generation: Int
    package let keyID: ExactString
    /// The digest of the checkpoint before; zeros for the first. So none can be left out.
    package let previous: [UInt8]
    /// Ed25519, 64 bytes.
    package let signature: [UInt8]

    package var sequence: Int64 { place.sequence }
    package var hash: [UInt8] { place.hash }
    package var count: Int64 { place.count }

    package init(
        number: Int64, _ place: Place, time: Int64, generation: Int, keyID: ExactString, previous: [UInt8],
        signature: [UInt8]
    ) {
        self.number = number
        self.place = place
        self.time = time
        self.generation = generation
        self.keyID = keyID
        self.previous = previous
        self.signature = signature
    }

    /// The next one after `last`, signed.
    package init(
        _ place: Place, after last: Checkpoint?, generation: Int, signedWith key: CheckpointKey, at now: Date
    ) throws(OpenSSLError) {
        number = (last?.number ?? 0) + 1
        self.place = place
        time = now.auditMilliseconds
        self.generation = generation
        keyID = key.keyID
        previous = last?.digest ?? AuditChain.start
        signature = try key.signature(
            over: Self.payload(number, place, time: time, generation: generation, keyID, previous: previous))
    }

    /// Whether the holder of `key` signed it.
    package func isSigned(by key: PublicKey) -> Bool {
        let payload = Self.payload(number, place, time: time, generation: generation, keyID, previous: previous)
        return key.isValidSignature(signature.span, over: payload.span, scheme: .ed25519)
    }

    /// What the next one holds of it: SHA-256 over what is signed and the signature.
    package var digest: [UInt8] {
        HashAlgorithm.sha256.digest(
            Self.payload(number, place, time: time, generation: generation, keyID, previous: previous) + signature)
    }

    /// What a checkpoint key says of a checkpoint beside its making.
    package enum Statement: String, Sendable {
        /// It is the last that there is.
        case last = "daypass-audit-last-v1"
        /// The records up to it were archived.
        case archived = "daypass-audit-archive-v1"
    }

    /// What is signed where that is said of it.
    func payload(saying statement: Statement) -> [UInt8] {
        var payload: [UInt8] = []
        payload.append(counted: statement.rawValue)
        payload += digest
        return payload
    }

    /// Domain, number, sequence, hash, time, count, generation, key id and the digest before; texts and bytes behind their
    /// lengths.
    private static func payload(
        _ number: Int64, _ place: Place, time: Int64, generation: Int, _ keyID: ExactString, previous: [UInt8]
    ) -> [UInt8] {
        var payload: [UInt8] = []
        payload.append(counted: "daypass-audit-checkpoint-v1")
        payload.append(bigEndian: number)
        payload.append(bigEndian: place.sequence)
        payload.append(bigEndian: UInt32(place.hash.count))
        payload += place.hash
        payload.append(bigEndian: time)
        payload.append(bigEndian: place.count)
        payload.append(bigEndian: Int64(generation))
        payload.append(counted: keyID.string)
        payload.append(bigEndian: UInt32(previous.count))
        payload += previous
        return payload
    }
}

extension Checkpoint {
    /// As it stands in the file of `audit.file` and in archives.
    package var json: JSONObject {
        let moment = RecordedTime(Date(timeIntervalSince1970: Double(time) / 1000))
        return [
            "checkpoint": .number(Double(number)), "sequence": .number(Double(sequence)),
            "time": .string(ExactString(moment.text)), "count": .number(Double(count)),
            "generation": .number(Double(generation)), "key": .string(keyID),
            "previous": .string(ExactString(Base64URL.encode(previous))),
            "signature": .string(ExactString(Base64URL.encode(signature))),
            "hash": .string(ExactString(Base64URL.encode(hash))),
        ]
    }

    /// - Returns: nil where it is not what `json` writes.
    package init?(_ json: JSONObject) {
        func integer(_ name: ExactString) -> Int64? { json[name]?.number.flatMap { Int64(exactly: $0) } }
        func bytes(_ name: ExactString, _ length: Int) -> [UInt8]? {
            guard let bytes = json[name]?.string.flatMap({ try? Base64URL.decode($0) }), bytes.count == length else {
                return nil
            }
            return bytes
        }
        guard let number = integer("checkpoint"), let sequence = integer("sequence"), let count = integer("count"),
            let generation = integer("generation").flatMap({ Int(exactly: $0) }),
            let time = json["time"]?.string.flatMap({ RecordedTime(parsing: $0.string) }),
            let keyID = json["key"]?.string, let hash = bytes("hash", 32), let previous = bytes("previous", 32),
            let signature = bytes("signature", 64)
        else { return nil }
        self.init(
            number: number, Place(sequence: sequence, hash: hash, count: count), time: time.date.auditMilliseconds,
            generation: generation, keyID: keyID, previous: previous, signature: signature)
    }
}
