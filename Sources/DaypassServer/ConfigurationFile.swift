import Broker
import BrokerConfigurationYAML
import Foundation

/// The configuration as the commands read it.
enum ConfigurationFile {
    /// - Throws: every error that was found, a line each.
    static func read(_ path: String) throws -> (BrokerConfiguration, [ConfigurationNote]) {
        do {
            return try ConfigurationReader().read(path: path)
        } catch {
            let hint = FileManager.default.fileExists(atPath: path) ? "" : "; `daypassd init` writes one"
            throw CommandFailure("the configuration is not valid\n\(error)\(hint)")
        }
    }

    /// Writes the files that the broker is shipped with, where there is no configuration yet: the file `path` itself and,
    /// beside it, what it includes. A file that exists is left as it is.
    /// - Returns: the paths of what was written.
    static func writeShipped(at path: String) throws -> [String] {
        guard !FileManager.default.fileExists(atPath: path) else { return [] }
        let folder = URL(filePath: path).deletingLastPathComponent()
        var written: [String] = []
        for file in ShippedConfiguration.files {
            let target = file.path == "daypass.yaml" ? URL(filePath: path) : folder.appending(path: file.path)
            let parent = target.deletingLastPathComponent()
            do {
                try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
            } catch {
                throw CommandFailure(making: parent.path(percentEncoded: false), error)
            }
            do {
                try Data(file.contents).write(to: target, options: .withoutOverwriting)
                written.append(target.path(percentEncoded: false))
            } catch CocoaError.fileWriteFileExists {
                continue
            } catch {
                throw CommandFailure(making: target.path(percentEncoded: false), error)
            }
        }
        return written
    }
}
