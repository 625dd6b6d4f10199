import Broker
import FoundationEssentials
import JOSE

/// Credentials of providers.
extension StoreConformance {
    static func credentialsComeBack(_ store: any Store) async throws {
        // NUL, and every byte there is.
        let bytes = (0...255).map { UInt8($0) } + [0, 0]
        let all = [
            Sample.credential("anthropic", 1, sealed: bytes), Sample.credential("anthropic", 2, at: time(1)),
            Sample.credential("openai", 1),
        ]
        for credential in all {
            let event = Sample.keyEvent(.credentialAdded)
            try await store.apply(adding(credential), event)
            try expect(try await store.auditEvents(trace: event.trace), are: [event])
        }
        let (anthropic, openai) = (all[0].version.provider, all[2].version.provider)
        try expect(try await store.sealedCredentials(of: anthropic) == Array(all[..<2]), "versions came back otherwise")
        try expect(try await store.sealedCredentials(of: openai) == [all[2]], "another provider's came back otherwise")
        try expect(try await store.countCredentialProviders() == 2, "providers were counted otherwise")
        let versions = all.map(\.version)
        try expect(
            try await store.credentialVersions(of: nil, after: nil, limit: 9) == versions, "the list is another")
        try expect(
            try await store.credentialVersions(of: openai, after: nil, limit: 9) == [versions[2]],
            "the list of one provider is another")
        var (found, position): ([CredentialVersion], CredentialPosition?) = ([], nil)
        while let next = try await store.credentialVersions(of: nil, after: position, limit: 1).first {
            found.append(next)
            position = CredentialPosition(next.provider, next.number)
        }
        try expect(found == versions, "the list in parts is another")
    }

    static func credentialsChange(_ store: any Store) async throws {
        let (one, two) = (Sample.credential("anthropic", 1), Sample.credential("anthropic", 2))
        let provider = one.version.provider
        for credential in [one, two] { try await store.apply(adding(credential), Sample.keyEvent(.credentialAdded)) }
        let steps: [(CredentialChange.Step, [CredentialVersion.State], [Bool])] = [
            (.promote(2, from: .staged, former: nil), [.staged, .active], [false, false]),
            (.promote(1, from: .staged, former: 2), [.active, .draining], [false, false]),
            (.promote(2, from: .draining, former: 1), [.draining, .active], [false, false]),
            (.retire(1, from: .draining, beside: 2), [.retired, .active], [true, false]),
        ]
        for (number, (step, states, erased)) in steps.enumerated() {
            let event = Sample.keyEvent(.credentialPromoted)
            try await store.apply(CredentialChange(provider, step, at: time(Double(number))), event)
            let after = try await store.sealedCredentials(of: provider)
            try expect(after.map(\.version.state) == states, "step \(number): \(after.map(\.version.state))")
            try expect(after.map(\.sealed.isEmpty) == erased, "step \(number) erased others than what was retired")
            try expect(
                after[0].version.since == time(number == 0 ? 0 : Double(number)) && after[0].version.created == time(0),
                "step \(number) came back with other times")
            try expect(try await store.auditEvents(trace: event.trace), are: [event])
        }
        let rows = try await store.sealedRows()
        try expect(rows.map(\.id) == ["anthropic/2"], "the sealed rows are \(rows.map(\.id))")
    }

    static func credentialsChangeWhole(_ store: any Store) async throws {
        let one = Sample.credential("anthropic", 1)
        let provider = one.version.provider
        for number in 1...3 {
            try await store.apply(adding(Sample.credential("anthropic", number)), Sample.keyEvent(.credentialAdded))
        }
        try await store.apply(
            CredentialChange(provider, .promote(1, from: .staged, former: nil), at: time(1)),
            Sample.keyEvent(.credentialPromoted))
        try await store.apply(
            CredentialChange(provider, .promote(2, from: .staged, former: 1), at: time(2)),
            Sample.keyEvent(.credentialPromoted))
        let before = try await store.sealedCredentials(of: provider)
        let impossible: [(String, CredentialChange.Step)] = [
            ("a number that is there", .add(Sample.credential("anthropic", 3))),
            ("a number left out", .add(Sample.credential("anthropic", 5))),
            ("a version that begins active", .add(Sample.credential("anthropic", 4, .active))),
            ("a version without a secret", .add(Sample.credential("anthropic", 4, sealed: []))),
            ("another provider's", .add(Sample.credential("openai", 4))),
            ("a promotion decided upon another active version", .promote(3, from: .staged, former: 1)),
            ("a promotion decided upon none", .promote(3, from: .staged, former: nil)),
            ("a promotion from another state", .promote(3, from: .draining, former: 2)),
            ("a promotion of the active one", .promote(2, from: .active, former: 2)),
            ("an unknown version", .promote(4, from: .staged, former: 2)),
            ("retiring the active one", .retire(2, from: .active, beside: 2)),
            ("retiring decided upon another active version", .retire(1, from: .draining, beside: 1)),
            ("retiring decided upon none", .retire(1, from: .draining, beside: nil)),
            ("retiring from another state", .retire(1, from: .staged, beside: 2)),
        ]
        for (what, step) in impossible {
            let event = Sample.keyEvent(.credentialRetired)
            let change = CredentialChange(provider, step, at: time(9))
            try await expect(.conflict, what) { () async throws(StoreFailure) in try await store.apply(change, event) }
            try expect(try await store.sealedCredentials(of: provider) == before, "\(what) changed something")
            try expect(try await store.auditEvents(trace: event.trace), are: [])
        }
        try expect(try await store.countCredentialProviders() == 1, "a provider was left behind")
    }

    static func credentialsChangeOnce(_ store: any Store) async throws {
        let provider = Sample.credential("anthropic", 1).version.provider
        let added = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    let change = adding(Sample.credential("anthropic", 1))
                    return (try? await store.apply(change, Sample.keyEvent(.credentialAdded))) != nil
                }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        let versions = try await store.sealedCredentials(of: provider)
        try expect(added == 1 && versions.count == 1, "\(added) of 20 were added as one number")
    }

    static func credentialUses(_ store: any Store) async throws {
        for number in 1...2 {
            try await store.apply(adding(Sample.credential("anthropic", number)), Sample.keyEvent(.credentialAdded))
        }
        let provider = Sample.credential("anthropic", 1).version.provider
        let unknown = Sample.credential("openai", 1).version.provider
        try await store.record([
            CredentialUse(provider, 1, first: time(5), last: time(6)),
            CredentialUse(unknown, 1, first: time(5), last: time(6)),
        ])
        try await store.record([CredentialUse(provider, 1, first: time(7), last: time(8))])
        try await store.record([CredentialUse(provider, 1, first: time(4), last: time(5))])
        let versions = try await store.credentialVersions(of: nil, after: nil, limit: 9)
        try expect(
            versions.map(\.firstUsed) == [time(4), nil] && versions.map(\.lastUsed) == [time(8), nil],
            "the uses are \(versions.map(\.firstUsed)), \(versions.map(\.lastUsed))")
        try expect(versions[0].since == time(0), "a use changed more than the uses")
    }

    private static func adding(_ credential: SealedCredential) -> CredentialChange {
        CredentialChange(credential.version.provider, .add(credential), at: credential.version.created)
    }

    private static func time(_ seconds: TimeInterval) -> Date { Sample.time.addingTimeInterval(seconds) }
}
