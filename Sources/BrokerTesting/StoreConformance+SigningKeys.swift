import Broker
import FoundationEssentials
import JOSE
import SPIFFE

/// Signing keys, and what is sealed.
extension StoreConformance {
    static func keysChange(_ store: any Store) async throws {
        let (active, staged) = (Sample.key("k1", .active), later("k2", .staged, 1))
        try await store.insertFirstSigningKeys([active, staged])
        let rotation = KeyRingChange(
            [.init("k2", from: .staged, to: .active), .init("k1", from: .active, to: .retiring)],
            adding: [later("k3", .staged, 2)], at: time(2))
        let event = Sample.keyEvent(.keyRotated)
        try await store.apply(rotation, event)
        try expect(
            try await store.signingKeys() == [
                active.moved(to: .retiring, at: time(2)), staged.moved(to: .active, at: time(2)),
                later("k3", .staged, 2),
            ], "rotated keys came back otherwise")
        try expect(try await store.auditEvents(trace: event.trace), are: [event])

        let revocation = KeyRingChange(
            [
                .init("k2", from: .active, to: .compromised), .init("k3", from: .staged, to: .active),
                .init("k1", from: .retiring, to: .retired),
            ], adding: [later("k4", .staged, 3)], at: time(3))
        try await store.apply(revocation, Sample.keyEvent(.keyRevoked))
        let keys = try await store.signingKeys()
        try expect(
            keys.map(\.state) == [.retired, .compromised, .active, .staged], "the states are \(keys.map(\.state))")
        try expect(
            keys.map(\.sealed.isEmpty) == [true, true, false, false],
            "the secret of a key that is over was kept, or another's was not")
        try expect(
            keys[0].stopped == time(2) && keys[0].ended == time(3) && keys[0].activated == nil,
            "the times of a retired key came back otherwise")
        try expect(
            keys[1].activated == time(2) && keys[1].stopped == time(3) && keys[1].ended == time(3),
            "the times of a compromised key came back otherwise")
    }

    static func keysChangeWhole(_ store: any Store) async throws {
        let before = [Sample.key("k1", .active), later("k2", .staged, 1)]
        try await store.insertFirstSigningKeys(before)
        let retiring = KeyRingChange.Move("k1", from: .active, to: .retiring)
        let activated = KeyRingChange.Move("k2", from: .staged, to: .active)
        let impossible: [(String, KeyRingChange)] = [
            ("no active key", KeyRingChange([retiring], at: time(2))),
            ("two active keys", KeyRingChange([activated], at: time(2))),
            ("two staged keys", KeyRingChange([], adding: [later("k3", .staged, 2)], at: time(2))),
            (
                "a key that is there",
                KeyRingChange([retiring, activated], adding: [later("k1", .staged, 2)], at: time(2))
            ),
            ("an unknown key", KeyRingChange([retiring, .init("k9", from: .staged, to: .active)], at: time(2))),
            (
                "another state",
                KeyRingChange([.init("k1", from: .retiring, to: .retired), retiring, activated], at: time(2))
            ),
            ("a way that there is not", KeyRingChange([.init("k2", from: .staged, to: .retired)], at: time(2))),
        ]
        for (what, change) in impossible {
            let event = Sample.keyEvent(.keyRotated)
            try await expect(.conflict, what) { () async throws(StoreFailure) in try await store.apply(change, event) }
            try expect(try await store.signingKeys() == before, "\(what) changed something")
            try expect(try await store.auditEvents(trace: event.trace), are: [])
        }
    }

    static func keysChangeOnce(_ store: any Store) async throws {
        try await store.insertFirstSigningKeys([Sample.key("k1", .active), later("k2", .staged, 1)])
        let made = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<20 {
                let change = KeyRingChange(
                    [.init("k1", from: .active, to: .retiring), .init("k2", from: .staged, to: .active)],
                    adding: [later(ExactString("n\(number)"), .staged, 2)], at: time(2))
                group.addTask { (try? await store.apply(change, Sample.keyEvent(.keyRotated))) != nil }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        let keys = try await store.signingKeys()
        try expect(made == 1 && keys.count == 3, "\(made) of 20 changes from one state were made: \(keys.count) keys")
    }

    static func rowsAreResealed(_ store: any Store) async throws {
        let retired = SigningKeyRecord(
            keyID: "k0", algorithm: .ES256, state: .retired, sealed: [], masterKeyID: "m1", created: Sample.time)
        try await store.insertFirstSigningKeys([retired, later("k1", .active, 1)])
        let domain = try TrustDomain(parsing: "prod.example.com")
        let bundle = TrustBundleRecord(
            trustDomain: domain, endpoint: "https_web https://a.example.com/", sequence: .max, sealed: [7, 0, 7],
            masterKeyID: "m1", updated: Sample.time)
        try await store.keep(bundle)
        let credential = Sample.credential("anthropic", 1)
        try await store.apply(
            CredentialChange(credential.version.provider, .add(credential), at: Sample.time),
            Sample.keyEvent(.credentialAdded))
        let signIn = Sample.signIn("s1")
        _ = try await store.record(
            Sample.session("s1"), Sample.grant(session: "s1"), opening: signIn, token: [1, 2, 3])
        let rows = try await store.sealedRows()
        try expect(
            rows == [
                .signingKey(later("k1", .active, 1)), .trustBundle(bundle), .providerCredential(credential),
                .signIn(signIn),
            ],
            "the sealed rows are \(rows)")
        for row in rows {
            let event = Sample.keyEvent(.secretResealed)
            try await store.reseal(row, as: [9, 0, 9], under: "m2", event)
            try expect(try await store.auditEvents(trace: event.trace), are: [event])
            let second = Sample.keyEvent(.secretResealed)
            try await expect(.conflict, "sealing a row that has changed") { () async throws(StoreFailure) in
                try await store.reseal(row, as: [1], under: "m3", second)
            }
            try expect(try await store.auditEvents(trace: second.trace), are: [])
        }
        let after = try await store.sealedRows()
        try expect(
            after.allSatisfy { $0.sealed == [9, 0, 9] && $0.masterKeyID == "m2" } && after.count == 4,
            "the rows were sealed otherwise: \(after)")
        try expect(try await store.trustBundle(of: domain)?.sequence == .max, "a sequence was lost")
    }

    private static func time(_ seconds: TimeInterval) -> Date { Sample.time.addingTimeInterval(seconds) }

    private static func later(
        _ id: ExactString, _ state: SigningKeyRecord.State, _ seconds: TimeInterval
    ) -> SigningKeyRecord {
        Sample.key(id, state, created: time(seconds))
    }
}
