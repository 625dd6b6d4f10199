import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `The hash of an audit record` {
    private let trace = TraceID(parsing: "0123456789abcdef0123456789abcdef")

    /// Computed with Python's hashlib and struct, by the description in `AuditColumns` and `AuditChain`.
    @Test func `is what anybody can compute from the record and the hash before`() throws {
        let chain = AuditChain()
        let first = AuditEvent(
            time: Sample.time, trace: try #require(trace), kind: .exchangeGranted, issuer: Sample.issuer,
            subject: "ci:é\0x", rule: "ci-main", sessionID: "s1", tokenID: "t1", details: ["a": 1])
        let hash = chain.hash(
            after: AuditChain.start, sequence: 1, AuditColumns(first, details: first.details.encoded()).bytes)
        #expect(Self.hex(hash) == "0754dbde6bb275771f82793e10f576729785ecf9de7fbf17ee9465673f39b45b")
        // What is absent is not what is empty, and a time may be before 1970.
        let second = AuditEvent(
            time: Date(timeIntervalSince1970: -0.001), trace: try #require(trace), kind: .keyStaged, issuer: nil,
            subject: nil, reason: "", details: [:])
        let next = chain.hash(after: hash, sequence: 7, AuditColumns(second, details: Array("{}".utf8)).bytes)
        #expect(Self.hex(next) == "e7279eca7f383a23abd0bb1a7f42869128fdb738b87ed91b2151badefd7141f1")
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

@Suite struct `A checkpoint` {
    private let place = Checkpoint.Place(sequence: 7, hash: [UInt8](repeating: 7, count: 32), count: 5)

    private func keys() throws -> (CheckpointKeys, MasterKey, CheckpointKeyRecord) {
        let (masterKey, _) = try MasterKey.generate()
        let record = try CheckpointKey.generate(sealedWith: masterKey, at: Sample.time)
        return (try #require(try CheckpointKeys(opening: [record], with: masterKey)), masterKey, record)
    }

    @Test func `comes back from its line, and only unaltered it is signed`() throws {
        let (keys, _, _) = try keys()
        let first = try Checkpoint(place, after: nil, generation: 1, signedWith: keys.signing, at: Sample.time)
        let second = try Checkpoint(place, after: first, generation: 2, signedWith: keys.signing, at: Sample.time)
        #expect(second.number == 2 && second.previous == first.digest && first.digest != second.digest)
        let line = try JSONReader.readObject(second.json.encoded())
        #expect(Checkpoint(line) == second)
        #expect(keys.didSign(first) && keys.didSign(second))
        let changes: [(ExactString, JSONValue)] = [
            ("checkpoint", 3), ("sequence", 8), ("time", "2023-11-14T22:13:20.251Z"), ("count", 6), ("generation", 1),
            ("key", "x"), ("previous", line["hash"] ?? .null), ("hash", line["previous"] ?? .null),
            ("signature", .string(ExactString(Base64URL.encode([UInt8](repeating: 0, count: 64))))),
        ]
        #expect(changes.count == line.members.count)
        for (name, value) in changes {
            let members = line.members.map { ($0.name, $0.name == name ? value : $0.value) }
            let altered = try #require(Checkpoint(JSONObject(uniqueMembers: members)), "\(name)")
            #expect(!keys.didSign(altered), "\(name)")
            let rest = line.members.filter { $0.name != name }.map { ($0.name, $0.value) }
            #expect(Checkpoint(JSONObject(uniqueMembers: rest)) == nil, "\(name)")
        }
    }

    @Test func `is signed by a key of this store alone, whose public half nobody put in another's place`() throws {
        let (keys, masterKey, record) = try keys()
        let (others, _, other) = try self.keys()
        let checkpoint = try Checkpoint(place, after: nil, generation: 1, signedWith: others.signing, at: Sample.time)
        #expect(others.didSign(checkpoint) && !keys.didSign(checkpoint))
        let forged = [
            CheckpointKeyRecord(
                keyID: record.keyID, publicKey: other.publicKey, sealed: record.sealed,
                masterKeyID: record.masterKeyID, created: record.created),
            CheckpointKeyRecord(
                keyID: other.keyID, publicKey: other.publicKey, sealed: record.sealed, masterKeyID: masterKey.id,
                created: record.created),
            CheckpointKeyRecord(
                keyID: other.keyID, publicKey: other.publicKey, sealed: other.sealed, masterKeyID: masterKey.id,
                created: record.created),
            other,
        ]
        for record in forged {
            #expect(throws: CheckpointKeyFailure.self) { try CheckpointKeys(opening: [record], with: masterKey) }
        }
        #expect(try CheckpointKeys(opening: [], with: masterKey) == nil)
    }

    @Test func `a store gets its key once, on the record`() async throws {
        let (masterKey, _) = try MasterKey.generate()
        let store = MemoryStore()
        let first = try await CheckpointKeys.open(in: store, with: masterKey, at: Sample.time)
        let second = try await CheckpointKeys.open(in: store, with: masterKey, at: Sample.time)
        #expect(first.signing.keyID == second.signing.keyID)
        #expect(store.events.map(\.kind) == [.checkpointKeyMade])
        #expect(store.events[0].details == ["key": .string(first.signing.keyID)])
        let (other, _) = try MasterKey.generate()
        await #expect(throws: CheckpointKeyFailure.self) {
            _ = try await CheckpointKeys.open(in: store, with: other, at: Sample.time)
        }
        #expect(store.events.count == 1, "no second key was made in the place of one that does not open")
    }
}
