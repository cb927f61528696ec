/* One client of Eclipse Paho in C, steered like node_client.js: settings as `name=value` arguments, orders on stdin as
   lines with tabs between their parts, what happened on stdout as lines of JSON. */
#include <MQTTClient.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int patience = 15000; /* ms */
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER; /* messages arrive on a thread of the library */

static void string(const char *text, size_t length) {
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\' || byte < 0x20) printf("\\u%04x", byte);
        else putchar(byte);
    }
    putchar('"');
}

static void done(int code, int granted) {
    pthread_mutex_lock(&speaking);
    printf("{\"event\":\"done\",\"error\":%d,\"granted\":[{\"qos\":%d}]}\n", code, granted);
    fflush(stdout);
    pthread_mutex_unlock(&speaking);
}

static int arrived(void *context, char *topic, int length, MQTTClient_message *message) {
    (void)context;
    pthread_mutex_lock(&speaking);
    printf("{\"event\":\"message\",\"topic\":");
    string(topic, length ? (size_t)length : strlen(topic)); /* a length only when the topic holds a NUL */
    printf(",\"payload\":");
    string(message->payload, (size_t)message->payloadlen);
    printf(",\"qos\":%d,\"retain\":%s}\n", message->qos, message->retained ? "true" : "false");
    fflush(stdout);
    pthread_mutex_unlock(&speaking);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void lost(void *context, char *cause) {
    (void)context, (void)cause;
    pthread_mutex_lock(&speaking);
    printf("{\"event\":\"close\"}\n");
    fflush(stdout);
    pthread_mutex_unlock(&speaking);
}

static const char *setting(char **arguments, const char *name, const char *otherwise) {
    size_t length = strlen(name);
    for (; *arguments; arguments++)
        if (!strncmp(*arguments, name, length) && (*arguments)[length] == '=') return *arguments + length + 1;
    return otherwise;
}

static int connect_client(MQTTClient client, char **arguments, int version) {
    int is_web = setting(arguments, "url", "")[0] == 'w', clean = atoi(setting(arguments, "clean", "1"));
    MQTTClient_connectOptions three = MQTTClient_connectOptions_initializer,
                              three_web = MQTTClient_connectOptions_initializer_ws,
                              five = MQTTClient_connectOptions_initializer5,
                              five_web = MQTTClient_connectOptions_initializer5_ws;
    MQTTClient_connectOptions options = version == 5 ? (is_web ? five_web : five) : (is_web ? three_web : three);
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    options.MQTTVersion = version;
    if (version == 5) options.cleanstart = clean;
    else options.cleansession = clean;
    if ((will.topicName = setting(arguments, "will-topic", NULL))) {
        will.message = setting(arguments, "will-payload", "");
        will.qos = atoi(setting(arguments, "will-qos", "0"));
        will.retained = atoi(setting(arguments, "will-retain", "0"));
        options.will = &will;
    }
    if ((tls.trustStore = setting(arguments, "authority", NULL))) {
        tls.verify = 1; /* the name in the certificate as well */
        options.ssl = &tls;
    }
    if (version == 5 && !clean) {
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = 3600};
        MQTTProperties_add(&properties, &expiry);
    }
    int code;
    if (version == 5) {
        MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
        code = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_connect(client, &options);
    }
    MQTTProperties_free(&properties);
    pthread_mutex_lock(&speaking);
    if (code) printf("{\"event\":\"error\",\"error\":%d}\n", code);
    else printf("{\"event\":\"connect\",\"sessionPresent\":%s}\n", options.returned.sessionPresent ? "true" : "false");
    fflush(stdout);
    pthread_mutex_unlock(&speaking);
    return code;
}

static void subscribe(MQTTClient client, int version, char *filter, int qos) {
    if (version == 5) {
        MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
        done(response.reasonCode > 2 || (int)response.reasonCode < 0 ? response.reasonCode : 0, response.reasonCode);
        MQTTResponse_free(response);
    } else {
        int code = MQTTClient_subscribe(client, filter, qos); /* fails unless the broker grants what is asked */
        done(code, qos);
    }
}

static void publish(MQTTClient client, int version, char *topic, int qos, int retain, char *payload) {
    MQTTClient_deliveryToken token = 0;
    int code, length = (int)strlen(payload);
    if (version == 5) {
        MQTTResponse response = MQTTClient_publish5(client, topic, length, payload, qos, retain, NULL, &token);
        code = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_publish(client, topic, length, payload, qos, retain, &token);
    }
    if (!code && qos) code = MQTTClient_waitForCompletion(client, token, (unsigned long)patience);
    done(code, qos);
}

int main(int count, char **arguments) {
    (void)count;
    int version = atoi(setting(arguments, "version", "4"));
    MQTTClient client;
    MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
    MQTTClient_init_options initial = MQTTClient_init_options_initializer;
    initial.do_openssl_init = 1;
    MQTTClient_global_init(&initial);
    options.MQTTVersion = version;
    if (MQTTClient_createWithOptions(&client, setting(arguments, "url", ""), setting(arguments, "id", ""),
                                     MQTTCLIENT_PERSISTENCE_NONE, NULL, &options))
        return 1;
    MQTTClient_setCallbacks(client, NULL, lost, arrived, NULL);
    if (connect_client(client, arguments, version)) return 1;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *order = strsep(&rest, "\t"), *topic = strsep(&rest, "\t"), *qos = strsep(&rest, "\t");
        if (!strcmp(order, "end")) break;
        if (!strcmp(order, "subscribe") && qos) subscribe(client, version, topic, atoi(qos));
        char *retain = strsep(&rest, "\t");
        if (!strcmp(order, "publish") && rest) publish(client, version, topic, atoi(qos), atoi(retain), rest);
    }
    MQTTClient_disconnect(client, 1000);
    MQTTClient_destroy(&client);
    free(line);
    return 0;
}
