package import Foundation

/// Test vectors that nobody here wrote; each folder below `Tests/Vectors` says where it is from and under which licence.
package enum VectorFiles {

    package static let folder: URL = {
        return URL(filePath: #filePath).appending(path: "../../Vectors").standardized
    }()

    /// - Parameter path: below the folder, such as `wycheproof/ed25519_test.json`.
    package static func data(_ path: String) throws -> Data {
        try Data(contentsOf: folder.appending(path: path))
    }
}
