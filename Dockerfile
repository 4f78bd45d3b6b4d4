# The one image of migrate, history and backup: Node runs the TypeScript sources as they are, so
# there is nothing to build. What a container does is the command that docker-compose.yml gives it.
FROM node:26-bookworm-slim

ENV NODE_ENV=production
WORKDIR /app

# Dependencies are a layer of their own: it is built again only when these files change. The
# optional ones would bring a second Node.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional && npm cache clean --force

# Folders that new volumes are laid over: a volume takes over owner and content of the folder it
# covers first, and so belongs to a user that is not root. See the service `secrets`.
RUN mkdir -p /secrets/mysql /secrets/history /secrets/minio /minio-data /verify \
    && chown -R node:node /secrets /minio-data /verify

COPY clients clients
COPY services services
COPY compose compose

USER node
