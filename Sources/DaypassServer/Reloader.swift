import Broker
import BrokerConfigurationYAML
import BrokerSQLite
import Dispatch
import Foundation
import JOSE
import Logging
import ServiceLifecycle
import UnixSignals

/// Puts other rules, issuers and trust domains into force while the broker serves: all of a new reading of the
/// configuration, or nothing of it. One reload after another.
actor Reloader {
    typealias Reading = @Sendable () throws(ConfigurationErrors) -> ConfigurationReader.Reading

    private let read: Reading
    private let maker: PolicyMaker
    private let publish: @Sendable (Policy) -> Void
    /// In force, with the sections that only a restart changes as they were at start.
    private var policy: Policy
    private var last: Task<ReloadOutcome, Never>?

    /// - Parameters:
    ///   - read: blocks; reads the same files as at start.
    ///   - publish: puts a policy into force for every request that begins afterwards. Does not fail.
    init(
        _ policy: Policy, read: @escaping Reading, maker: PolicyMaker, publish: @escaping @Sendable (Policy) -> Void
    ) {
        self.policy = policy
        self.read = read
        self.maker = maker
        self.publish = publish
    }

    /// Reads and checks the whole configuration, and puts it into force. What it did is recorded before it takes effect;
    /// where it cannot be recorded, nothing takes effect.
    /// - Parameter caller: nil for SIGHUP.
    func reload(by caller: Caller?, under trace: TraceID? = nil) async -> ReloadOutcome {
        let previous = last
        let next = Task {
            _ = await previous?.value
            return await apply(caller, trace)
        }
        last = next
        let outcome = await next.value
        report(outcome, caller)
        return outcome
    }

    private func apply(_ caller: Caller?, _ trace: TraceID?) async -> ReloadOutcome {
        let configuration: BrokerConfiguration
        let notes: [ConfigurationNote]
        do {
            (configuration, notes) = try await reading()
        } catch {
            return .refused(error.description.split(separator: "\n").map(String.init))
        }
        let difference = ConfigurationDifference(from: policy.configuration, to: configuration)
        // Rules are checked against these: with others, their grants would not mean what the file says.
        guard policy.configuration.tokens.issuer == configuration.tokens.issuer,
            policy.configuration.tokens.audiences == configuration.tokens.audiences
        else { return .refused(["tokens: issuer or audiences differ, which needs a restart: nothing was changed"]) }
        let warnings = notes.map(\.description)
        guard !difference.isEmpty else { return .applied(difference, warnings: warnings) }
        var next = policy.configuration
        next.rules = configuration.rules
        next.issuers = configuration.issuers
        next.trustDomains = configuration.trustDomains
        do {
            try await putIntoForce(next, difference, caller, trace)
            return .applied(difference, warnings: warnings)
        } catch {
            return .refused(["\(error)"])
        }
    }

    private func putIntoForce(
        _ configuration: BrokerConfiguration, _ difference: ConfigurationDifference, _ caller: Caller?,
        _ trace: TraceID?
    ) async throws {
        let before = policy.configuration.trustDomains
        let other = configuration.trustDomains.filter { domain in
            !before.contains { $0.name == domain.name && $0.bundle == domain.bundle }
        }
        // No rule in force speaks of those that are new.
        let undo = maker.trustBundles.begin(other)
        do {
            let next = try await maker.policy(of: configuration, after: policy)
            try await maker.store.record(event(difference, caller, trace))
            publish(next)
            policy = next
            maker.trustBundles.end(allBut: configuration.trustDomains.map(\.name))
        } catch {
            undo()
            throw error
        }
    }

    private func event(
        _ difference: ConfigurationDifference, _ caller: Caller?, _ trace: TraceID?
    ) -> AuditEvent {
        var details: JSONObject = ["by": .string(caller?.text ?? "SIGHUP")]
        for member in difference.json.members { _ = details.append(member.name, member.value) }
        let now = maker.clock.now
        return AuditEvent(
            time: now, trace: trace ?? TraceID(at: now), kind: .configurationReloaded, issuer: nil, subject: nil,
            details: details)
    }

    /// Files block: they are read where that holds up nobody.
    private func reading() async throws(ConfigurationErrors) -> ConfigurationReader.Reading {
        let result: Result<ConfigurationReader.Reading, ConfigurationErrors> = await withCheckedContinuation {
            continuation in
            DispatchQueue.global().async { [read] in
                do throws(ConfigurationErrors) {
                    continuation.resume(returning: .success(try read()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func report(_ outcome: ReloadOutcome, _ caller: Caller?) {
        let (logger, by) = (maker.logger, caller?.text ?? "SIGHUP")
        switch outcome {
        case .refused(let errors):
            for error in errors {
                logger.error(
                    "the configuration was not reloaded: what was in force stays", metadata: ["error": "\(error)"])
            }
        case .applied(let difference, let warnings):
            for warning in warnings { logger.warning("\(warning)") }
            for section in difference.needsRestart {
                logger.warning("a section differs and needs a restart", metadata: ["section": "\(section)"])
            }
            logger.notice(
                difference.isEmpty
                    ? "the configuration was reloaded: nothing differs" : "the configuration was reloaded",
                metadata: [
                    "by": "\(by)", "difference": "\(String(decoding: difference.json.encoded(), as: UTF8.self))",
                ])
            if !difference.revocations.isEmpty {
                logger.notice(
                    "what was granted before stays good until it expires, unless it is revoked",
                    metadata: ["commands": "\(difference.revocations.joined(separator: "; "))"])
            }
        }
    }
}

extension Reloader: RuleReloading {
    func reload(
        _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.ConfigurationDifference {
        switch await reload(by: context.caller, under: context.trace) {
        case .applied(let difference, let warnings): .init(difference, warnings: warnings)
        case .refused(let errors): throw .invalid(errors.joined(separator: "\n"))
        }
    }
}

/// The rules of a broker whose configuration is in no file.
struct FixedRules: RuleReloading {
    func reload(
        _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.ConfigurationDifference {
        throw .conflict("the configuration of this broker is in no file that could be read again")
    }
}

/// Reloads at each SIGHUP. Several that come while one is under way may count as one.
struct ReloadOnSignal: Service {
    let reloader: Reloader

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            _ = await reloader.reload(by: nil)
        }
    }
}
