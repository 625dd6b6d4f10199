import FoundationEssentials
package import JOSE
import SPIFFE

/// Whether the broker can do its work: what is not ready, and since when.
package struct Readiness: Sendable {
    private let issuers: @Sendable () -> [TrustedIssuer]
    private let trustBundles: TrustBundles?
    private let tls: TLSMetrics?
    private let signingKeys: SigningKeyMetrics?
    private let revocations: Revocations?
    private let storeOutage: @Sendable () async -> Outage?

    /// - Parameters:
    ///   - issuers: those of the moment of each report.
    ///   - tls: of the public listener; nil for plain HTTP.
    ///   - signingKeys: our own; nil where nothing rotates them.
    ///   - storeOutage: since when and why the store does not record, if it does not.
    package init(
        issuers: @escaping @autoclosure @Sendable () -> [TrustedIssuer], trustBundles: TrustBundles? = nil,
        tls: TLSMetrics? = nil, signingKeys: SigningKeyMetrics? = nil, revocations: Revocations? = nil,
        storeOutage: @escaping @Sendable () async -> Outage?
    ) {
        self.issuers = issuers
        self.trustBundles = trustBundles
        self.tls = tls
        self.signingKeys = signingKeys
        self.revocations = revocations
        self.storeOutage = storeOutage
    }

    /// Ready while the store records and what at least one issuer or trust domain signs can be verified: one that is down
    /// must not take the node away from everybody else. The state of each is in the report.
    package func report() async -> Report {
        let store = await storeOutage()
        let states = issuers().map { ($0.configuration.name, $0.keys.status) }
        // The last one to fail took the node down.
        let domains = trustBundles?.statuses ?? []
        let isAnyUsable = states.contains { $0.1.isUsable } || domains.contains(where: \.isUsable)
        let unusableSince = states.compactMap(\.1.unusableSince) + domains.compactMap(\.unusableSince)
        let withoutIssuers = isAnyUsable ? nil : unusableSince.max() ?? .distantPast
        return Report(
            isReady: store == nil && withoutIssuers == nil,
            json: json(since: [store?.since, withoutIssuers].compactMap { $0 }.min(), store, states, domains))
    }

    package struct Report: Sendable {
        package let isReady: Bool
        package let json: JSONObject
    }

    private func json(
        since: Date?, _ store: Outage?, _ states: [(IssuerName, IssuerKeys.Status)],
        _ domains: [TrustBundles.Status]
    ) -> JSONObject {
        var json: JSONObject = ["ready": .bool(since == nil)]
        if let since { _ = json.append("since", Self.time(since)) }
        var storeState: JSONObject = ["ready": .bool(store == nil)]
        if let store {
            _ = storeState.append("since", Self.time(store.since))
            _ = storeState.append("error", .string(ExactString(store.cause)))
        }
        _ = json.append("store", .object(storeState))
        let issuerStates = states.map { ($0.text, JSONValue.object(Self.json($1))) }
        _ = json.append("issuers", .object(JSONObject(uniqueMembers: issuerStates)))
        if !domains.isEmpty {
            let domainStates = domains.map { ($0.trustDomain.name, JSONValue.object(Self.json($0))) }
            _ = json.append("trust_domains", .object(JSONObject(uniqueMembers: domainStates)))
        }
        if let revocations { _ = json.append("revocations", .object(Self.json(revocations))) }
        if let certificate = tls?.certificate { _ = json.append("tls", .object(Self.json(certificate))) }
        if let keys = signingKeys, keys.activated != nil {
            _ = json.append("signing_keys", .object(Self.json(keys)))
        }
        return json
    }

    /// For information: the active key signs on, whatever becomes of the next one.
    private static func json(_ keys: SigningKeyMetrics) -> JSONObject {
        var state: JSONObject = [:]
        if let activated = keys.activated { _ = state.append("active_since", time(activated)) }
        if let next = keys.nextRotation { _ = state.append("next_rotation", time(next)) }
        if let failure = keys.failure {
            _ = state.append("last_error", .string(ExactString(failure.cause)))
            _ = state.append("failing_since", time(failure.since))
        }
        return state
    }

    /// For information: what waits is in force all the same.
    private static func json(_ revocations: Revocations) -> JSONObject {
        let waiting = revocations.waiting
        var state: JSONObject = [
            "durable": .bool(waiting.count == 0), "live": .number(Double(revocations.liveCount)),
            "highest": .number(Double(revocations.highest)),
        ]
        if let since = waiting.since {
            _ = state.append("waiting", .number(Double(waiting.count)))
            _ = state.append("waiting_since", time(since))
        }
        return state
    }

    /// For information: whatever its state, the listener answers with the certificate that it has.
    private static func json(_ certificate: TLSMetrics.Certificate) -> JSONObject {
        var state: JSONObject = ["certificate_expires": time(certificate.expiry)]
        if let failure = certificate.failure {
            _ = state.append("last_error", .string(ExactString(failure.cause)))
            _ = state.append("failing_since", time(failure.since))
        }
        return state
    }

    private static func json(_ status: IssuerKeys.Status) -> JSONObject {
        var state: JSONObject = ["ready": .bool(status.isUsable)]
        if let since = status.unusableSince { _ = state.append("since", time(since)) }
        _ = state.append("keys", .number(Double(status.keyCount)))
        if let age = status.age { _ = state.append("age_seconds", .number(age.seconds.rounded(.down))) }
        if let error = status.lastError { _ = state.append("last_error", .string(ExactString(error))) }
        if let since = status.failingSince { _ = state.append("failing_since", time(since)) }
        return state
    }

    private static func json(_ status: TrustBundles.Status) -> JSONObject {
        var state: JSONObject = ["ready": .bool(status.isUsable)]
        if let since = status.unusableSince { _ = state.append("since", time(since)) }
        _ = state.append("authorities", .number(Double(status.authorityCount)))
        _ = state.append("keys", .number(Double(status.keyCount)))
        if let source = status.source { _ = state.append("source", .string(ExactString(source.rawValue))) }
        // As text: a number of JSON does not hold all of 64 bits everywhere.
        if let sequence = status.sequence { _ = state.append("sequence", .string(ExactString("\(sequence)"))) }
        if let age = status.age { _ = state.append("age_seconds", .number(age.seconds.rounded(.down))) }
        if let error = status.lastError { _ = state.append("last_error", .string(ExactString(error))) }
        if let since = status.failingSince { _ = state.append("failing_since", time(since)) }
        return state
    }

    /// RFC 3339, in whole seconds.
    private static func time(_ date: Date) -> JSONValue {
        .string(ExactString(date.formatted(.iso8601)))
    }
}
