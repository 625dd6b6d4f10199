import Broker
import BrokerConfigurationYAML

/// Configurations: each is read, or refused with reasons that name a place.
enum YAMLTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        do {
            _ = try ConfigurationReader.read(yaml: input, name: "fuzz.yaml")
        } catch {
            precondition(!error.errors.isEmpty, "refused without a reason")
            precondition(!"\(error)".isEmpty)
        }
    }
}
