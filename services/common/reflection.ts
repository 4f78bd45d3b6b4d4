import { type DescFile, type DescService, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { file_google_rpc_error_details } from '../../clients/gen/google/rpc/error_details_pb.ts';
import { file_google_rpc_status } from '../../clients/gen/google/rpc/status_pb.ts';
import { Health } from '../../clients/gen/grpc/health/v1/health_pb.ts';

/**
 * Lets tools such as grpcurl find out what the server serves (reflection v1 and v1alpha): the given
 * services, health, and what errors carry.
 */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const files = new Set<DescFile>();
  const collect = (file: DescFile) => {
    if (files.has(file)) return;
    files.add(file);
    file.dependencies.forEach(collect);
  };
  for (const service of [...services, Health]) collect(service.file);
  collect(file_google_rpc_error_details);
  collect(file_google_rpc_status);

  // The library wants what proto-loader makes of .proto files, and reads the descriptors alone.
  const encoded = [...files].map((file) => toBinary(FileDescriptorProtoSchema, file.proto));
  const fileDescriptorProtos = encoded.map((bytes) => Buffer.from(bytes));
  type Definition = ConstructorParameters<typeof ReflectionService>[0];
  const definition = { all: { fileDescriptorProtos } } as unknown as Definition;
  new ReflectionService(definition).addToServer(server);
}
