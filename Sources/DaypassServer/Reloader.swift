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
    private let revocations: Revocations
    private let publish: @Sendable (Policy) -> Void
    /// In force, with the sections that only a restart changes as they were at start.
    private var policy: Policy
    private var last: Task<ReloadOutcome, Never>?

    /// - Parameters:
    ///   - policy: with the configuration as it was read, not as the process could be given it.
    ///   - read: blocks; reads the same files as at start.
    ///   - publish: puts a policy into force for every request that begins afterwards. Does not fail.
    init(
        _ policy: Policy, read: @escaping Reading, maker: PolicyMaker, revocations: Revocations,
        publish: @escaping @Sendable (Policy) -> Void
    ) {
        self.policy = policy
        self.read = read
        self.maker = maker
        self.revocations = revocations
        self.publish = publish
    }

    /// Reads and checks the whole configuration, and puts it into force. What it did is recorded before it takes effect;
    /// where it cannot be recorded, nothing takes effect, and nothing stays. A refusal is recorded as well.
    /// - Parameters:
    ///   - caller: nil for SIGHUP.
    ///   - isRehearsal: whether nothing is put into force and nothing recorded.
    func reload(
        by caller: Caller?, under trace: TraceID? = nil, isRehearsal: Bool = false
    ) async -> ReloadOutcome {
        let previous = last
        let act = Act(
            caller: caller ?? .signal, trace: trace ?? TraceID(at: maker.clock.now), isRehearsal: isRehearsal)
        let next = Task {
            _ = await previous?.value
            let outcome = await apply(act)
            if !isRehearsal { await recordRefusal(outcome, act) }
            return outcome
        }
        last = next
        let outcome = await next.value
        if !isRehearsal { report(outcome, act) }
        return outcome
    }

    /// Somebody's wish for a reload.
    private struct Act: Sendable {
        let caller: Caller
        let trace: TraceID
        let isRehearsal: Bool
    }

    private func apply(_ act: Act) async -> ReloadOutcome {
        let configuration: BrokerConfiguration
        let notes: [ConfigurationNote]
        do {
            (configuration, notes) = try await reading()
        } catch {
            return .refused(.invalid, error.description.split(separator: "\n").map(String.init))
        }
        let difference = ConfigurationDifference(from: policy.configuration, to: configuration)
        // Rules are checked against these: with others, their grants would not mean what the file says.
        guard policy.configuration.tokens.issuer == configuration.tokens.issuer,
            policy.configuration.tokens.audiences == configuration.tokens.audiences
        else {
            let error = "tokens: issuer or audiences differ, which needs a restart: nothing was changed"
            return .refused(.needsRestart, [error])
        }
        let warnings =
            notes.map(\.description) + revocations.unmatchedBlocks(in: configuration, at: maker.clock.now)
        guard !difference.isEmpty else { return .applied(difference, warnings: warnings) }
        var next = policy.configuration
        next.rules = configuration.rules
        next.issuers = configuration.issuers
        next.trustDomains = configuration.trustDomains
        do {
            if act.isRehearsal {
                try await maker.check(next, after: policy)
            } else {
                try await putIntoForce(next, difference, act)
            }
            return .applied(difference, warnings: warnings)
        } catch {
            return .refused(.unusable, ["\(error)"])
        }
    }

    private func putIntoForce(
        _ configuration: BrokerConfiguration, _ difference: ConfigurationDifference, _ act: Act
    ) async throws {
        let before = policy.configuration.trustDomains
        let other = configuration.trustDomains.filter { domain in
            !before.contains { $0.name == domain.name && $0.bundle == domain.bundle }
        }
        // No rule in force speaks of those that are new.
        let undo = maker.trustBundles.begin(other)
        do {
            let next = try await maker.policy(of: configuration, after: policy)
            let event = AuditEvent(
                reloading: difference, by: act.caller, under: act.trace, at: maker.clock.now)
            // In one transaction: a name is for good, and one of a configuration that was refused must stay free.
            try await maker.store.bind(configuration.issuersByName, recording: event)
            publish(next)
            policy = next
            maker.trustBundles.end(allBut: configuration.trustDomains.map(\.name))
        } catch {
            undo()
            throw error
        }
    }

    private func recordRefusal(_ outcome: ReloadOutcome, _ act: Act) async {
        guard case .refused(let reason, let errors) = outcome else { return }
        let event = AuditEvent(
            refusingReload: reason, errors, by: act.caller, under: act.trace, at: maker.clock.now)
        do {
            try await maker.store.record(event)
        } catch {
            maker.logger.error(
                "that the configuration was not reloaded could not be recorded",
                metadata: ["caller": "\(act.caller.text)", "cause": "\(error)"])
        }
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

    private func report(_ outcome: ReloadOutcome, _ act: Act) {
        let logger = maker.logger
        switch outcome {
        case .refused(_, let errors):
            for error in errors {
                logger.error(
                    "the configuration was not reloaded: what was in force stays",
                    metadata: ["error": "\(error)", "caller": "\(act.caller.text)"])
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
                    "caller": "\(act.caller.text)",
                    "difference": "\(String(decoding: difference.json.encoded(), as: UTF8.self))",
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
        isRehearsal: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.ConfigurationDifference {
        switch await reload(by: context.caller, under: context.trace, isRehearsal: isRehearsal) {
        case .applied(let difference, let warnings): .init(difference, warnings: warnings)
        case .refused(_, let errors): throw .invalid(errors.joined(separator: "\n"))
        }
    }
}

/// The rules of a broker whose configuration is in no file.
struct FixedRules: RuleReloading {
    func reload(
        isRehearsal: Bool, _ context: AdministrativeContext
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
