import ServiceLifecycle

/// Services that are told to stop at the same moment: what one of them still finishes holds up no other. The first error
/// ends all.
struct SideBySide: Service {
    let services: [any Service]

    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for service in services { group.addTask { try await service.run() } }
        }
    }
}
