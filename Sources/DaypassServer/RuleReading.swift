import Broker
import BrokerConfigurationYAML
import Dispatch
import JOSE

/// Reads rules that administrators try, with the reader of the configuration.
struct RuleReading: RuleDocumentReader {
    private let queue = DispatchQueue(label: "daypass.rules", qos: .utility)

    /// Runs what takes a while, on a thread of its own: one after another.
    func aside(_ work: @escaping @Sendable () -> Void) {
        queue.async(execute: work)
    }

    func rules(
        in documents: [AdministrationAPI.RuleDocument], under configuration: BrokerConfiguration
    ) async throws(AdministrationFailure) -> (rules: RuleSet, warnings: [String]) {
        let files = documents.map { (name: $0.name, contents: Array($0.text.utf8)) }
        let result: Result<(rules: RuleSet, notes: [ConfigurationNote]), ConfigurationErrors> =
            await withCheckedContinuation { continuation in
                aside {
                    do throws(ConfigurationErrors) {
                        let read = try ConfigurationReader.readRules(files, under: configuration)
                        continuation.resume(returning: .success(read))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            }
        switch result {
        case .success(let read): return (read.rules, read.notes.map(\.description))
        case .failure(let errors): throw .invalid(errors.description)
        }
    }
}
